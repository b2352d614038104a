export default {
  title: '知识库问答',
  words: '向企业文档提问，答案附带出处。',
  passphrase: '演示口令',
  placeholder: '请输入口令',
  enter: '进入',
  wecom: '用企业微信登录',
  demoHint: '口令和演示链接在启动服务时打印在终端里。',
  fromYourSystem: '请从你自己的系统（企业微信工作台、OA 门户等）里的入口打开。已经打开过的页面，回到入口重新进入即可。',
  refused: '暂时进不去',
  refusedWords: '登录链接已用过或已过期，请重新进入。',
  expired: '登录已过期',
  expiredWords: '重新登录后会回到这里，未发送的内容已为你保存。',
}
