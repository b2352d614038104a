export default { title: '管理知识库' }
