"""Words that people ask with for the words that documents are written in, of everyday and office language.

A thesaurus this small cannot be complete; it closes the gap for what is asked most often. Words of one line stand for
one another when a question is compared with a text. They are normalised; Traditional texts are folded before.
"""

import re

_GROUPS = """
电话 分机 号码 手机号 联系方式 热线
标准 限额 额度 上限
补贴 补助 津贴
工资 薪酬 薪水 薪资
奖金 年终奖 绩效奖
丢了 丢失 遗失 弄丢
坏了 故障 损坏 报修 维修
午饭 午餐 中饭
晚饭 晚餐
食堂 餐厅
吃饭 用餐 就餐
辞职 离职
开除 辞退 解雇 解除劳动合同 解除合同
工龄 工作年限 司龄 服务年限
年假 年休假
请假 休假
丧假 奔丧
结婚 婚假 婚姻
生孩子 生育 分娩
爷爷 祖父 祖父母
奶奶 祖母 祖父母
外公 外婆 姥姥 姥爷 外祖父 外祖母 外祖父母
爸爸 妈妈 爸妈 父亲 母亲 父母
老婆 老公 妻子 丈夫 配偶
小孩 孩子 子女 宝宝
住宿 酒店 宾馆 住酒店
出差 差旅
打车 出租车 网约车
火车 列车 高铁 动车
飞机 航班 机票
报账 报销
到账 付款 打款
收据 票据 发票
员工 职工 职员 雇员
上司 领导 上级
同意 批准 审批 批准人
步骤 流程 程序 手续
材料 证件 证明
电脑 计算机 笔记本
账号 帐号 账户 帐户 用户名
密码 口令
上网 联网 网络
抽烟 吸烟
迟到 晚到
旷工 缺勤
打卡 考勤
副业 兼职
送礼 礼品 礼物
车间 厂房
地址 位置 地点
开门 营业时间 服务时间 开放时间
上班时间 工作时间
价格 价钱 售价 单价
收费 费用 费
退货 退款 退换
保修 质保
客服 售后
寄送 邮寄 快递
过期 逾期 超期
每天 每日
每月 每个月
每年 每一年
退休 养老
体检 健康检查
培训 课程
"""

_WORDS: dict[str, frozenset[str]] = {}
for _line in _GROUPS.split("\n"):
    for _word in _line.split():
        _WORDS[_word] = _WORDS.get(_word, frozenset()) | (frozenset(_line.split()) - {_word})

_KNOWN = re.compile("|".join(sorted(_WORDS, key=len, reverse=True)))


def between_words(question: str) -> str:
    """The question with spaces around the words that are known, so that no term crosses from one into the next."""
    return _KNOWN.sub(lambda match: f" {match.group()} ", question)


def synonyms(question: str) -> dict[str, frozenset[str]]:
    """The question's words that have others, with these."""
    return {word: others for word, others in _WORDS.items() if word in question}
