"""What measures, conditions and states are called in reports and on the command line."""

from server.core.i18n import Text

MEASURES: dict[str, Text] = {
    "recall@1": Text("召回率@1", "Recall@1"),
    "recall@3": Text("召回率@3", "Recall@3"),
    "recall@5": Text("召回率@5", "Recall@5"),
    "recall@10": Text("召回率@10", "Recall@10"),
    "hit@1": Text("命中@1", "Hit@1"),
    "hit@3": Text("命中@3", "Hit@3"),
    "hit@5": Text("命中@5", "Hit@5"),
    "hit@10": Text("命中@10", "Hit@10"),
    "mrr@10": Text("MRR@10", "MRR@10"),
    "ndcg@10": Text("nDCG@10", "nDCG@10"),
    "answer_contains_gold": Text("回答含标准答案", "Answer contains gold"),
    "citation_precision": Text("引用准确率", "Citation precision"),
    "verified_citations": Text("引用句有据率", "Cited sentences borne out"),
    "refusal_precision": Text("拒答准确率", "Refusal precision"),
    "refusal_recall": Text("拒答召回率", "Refusal recall"),
    "false_refusals": Text("误拒率（越低越好）", "False refusals (less is better)"),
    "right_decision": Text("该答则答、该拒则拒", "Answered or refused rightly"),
}

MEANINGS: tuple[tuple[Text, Text], ...] = (
    (
        Text("召回率@k、命中@k", "Recall@k, hit@k"),
        Text(
            "应当找到的（文件或段落）在前 k 个结果里占多少；至少找到一个算命中",
            "the share of what should be found (files or passages) among the first k hits; a hit is at least one",
        ),
    ),
    (
        Text("MRR@10、nDCG@10", "MRR@10, nDCG@10"),
        Text(
            "排得越靠前越高：第一个正确结果名次的倒数；按名次折扣后的得分与最好情形之比",
            "higher the nearer to the top: one over the rank of the first right hit; gains discounted by rank, over the best possible",
        ),
    ),
    (
        Text("引用准确率", "Citation precision"),
        Text(
            "回答里引用的出处中，确实是标准出处的比例",
            "of the sources that an answer cites, those that are gold",
        ),
    ),
    (
        Text("引用句有据率", "Cited sentences borne out"),
        Text(
            "带引用的句子中，词、数字、名称都能在所引出处里找到的比例",
            "of the sentences that cite, those whose words, numbers and names are in their sources",
        ),
    ),
    (
        Text("拒答准确率、召回率", "Refusal precision, recall"),
        Text(
            "拒绝回答的问题里本该拒绝的比例；本该拒绝的问题里真的拒绝了的比例",
            "of what was refused, what had to be; of what had to be refused, what was",
        ),
    ),
    (
        Text("区间与 p", "Intervals and p"),
        Text(
            "区间以 95 % 的把握含有真值；p 是“其实没有差别，仅凭偶然也会相差这么多”的概率，小于 0.05 才值得相信。"
            "一次看很多指标时，总有个别会偶然小于 0.05",
            "intervals hold the true value with 95 %; p is how often chance alone would do as much: believe what is below 0.05, "
            "and remember that among many measures one may be so by chance",
        ),
    ),
)

CONDITIONS: dict[str, Text] = {
    "version": Text("程序版本", "Version"),
    "knowledge_base.name": Text("知识库", "Knowledge base"),
    "knowledge_base.generation": Text("知识库代号", "Generation"),
    "knowledge_base.documents": Text("文件数", "Documents"),
    "knowledge_base.passages": Text("段落数", "Passages"),
    "embedding.model": Text("向量模型", "Embedding model"),
    "embedding.fingerprint": Text("模型指纹", "Fingerprint"),
    "vector_store": Text("向量库", "Vector store"),
    "chunking": Text("分块（长度/重叠 × 文件数）", "Chunking (size/overlap × documents)"),
    "retrieval.words": Text("词的权重", "Weight of words"),
    "retrieval.fusion": Text("融合方式", "Fusion"),
    "retrieval.collapse": Text("合并重复段落", "Duplicates collapsed"),
    "retrieval.diversity": Text("多样性", "Diversity"),
    "retrieval.stop_words": Text("停用词", "Stop words"),
    "search.top_k": Text("top_k", "top_k"),
    "search.score_threshold": Text("距离阈值", "Score threshold"),
    "search.floor": Text("校准的阈值", "Calibrated floor"),
    "search.depth": Text("检索深度", "Depth"),
    "answer.model": Text("回答模型", "Answered by"),
    "answer.prompt": Text("提示词模板", "Prompt"),
}

FATES: dict[str, Text] = {
    "threshold": Text("超出距离阈值", "beyond the threshold"),
    "duplicate": Text("与更靠前的段落重复", "says what a better one says"),
    "rank": Text("名次不够靠前", "ranked too low"),
}
NOT_SEEN = Text("检索没有遇到", "not among the candidates")

STATES: dict[str, Text] = {
    "queued": Text("排队中", "queued"),
    "running": Text("进行中", "running"),
    "done": Text("已完成", "done"),
    "failed": Text("失败", "failed"),
    "cancelled": Text("已取消", "cancelled"),
}

OUTCOMES: dict[str, Text] = {
    "answered": Text("已回答", "answered"),
    "partly": Text("部分回答", "partly"),
    "not_found": Text("拒答", "refused"),
    "failed": Text("失败", "failed"),
}

REPORT: dict[str, Text] = {
    "report": Text("检索与回答评测", "Retrieval and answers, evaluated"),
    "comparison": Text("两次评测的比较", "Two runs compared"),
    "set": Text("问题集", "Question set"),
    "run": Text("评测", "Run"),
    "base": Text("之前", "Before"),
    "other": Text("之后", "After"),
    "begun": Text("开始于", "Begun"),
    "questions": Text("问题", "Questions"),
    "measures": Text("指标", "Measures"),
    "measure": Text("指标", "Measure"),
    "value": Text("值", "Value"),
    "interval": Text("95 % 区间", "95 % interval"),
    "count": Text("问题数", "Questions"),
    "difference": Text("差", "Difference"),
    "gained": Text("变好/变差", "Gained/lost"),
    "p": Text("p", "p"),
    "ranks": Text("第一个正确结果的名次", "Rank of the first right hit"),
    "none": Text("未找到", "none"),
    "conditions": Text("运行条件", "What it ran on"),
    "differ": Text("两次运行条件的不同", "What differs"),
    "same": Text("运行条件相同", "They ran on the same"),
    "times": Text("用时（毫秒，中位数 / 95 %）", "Milliseconds (median / 95 %)"),
    "tags": Text("按标签", "By tag"),
    "tag": Text("标签", "Tag"),
    "missed": Text("没有排在第一的问题", "Questions whose first hit is not right"),
    "answers": Text("回答不对的问题", "Questions that were not answered as they should be"),
    "better": Text("变好的问题", "Questions that got better"),
    "worse": Text("变差的问题", "Questions that got worse"),
    "question": Text("问题", "Question"),
    "wanted": Text("应当找到", "Should be found"),
    "found": Text("找到的前三个", "First three hits"),
    "lost": Text("没找到的原因", "What became of it"),
    "rank": Text("名次", "Rank"),
    "answer": Text("回答", "Answer"),
    "outcome": Text("结果", "Outcome"),
    "nothing": Text("没有", "None"),
    "more": Text("另有", "and more:"),
    "moved": Text(
        "评测期间知识库有改动：前后的问题不是在同样的内容上测的。",
        "The knowledge base changed during the run: its questions were not asked of the same documents.",
    ),
    "failed": Text("个回答失败，没有计入", "answers failed and are not counted"),
    "changed": Text("个问题的标准改过，没有比较", "questions have another gold now and are left out"),
    "unmatched": Text(
        "个问题只在一次评测里，没有比较", "questions are in one of the runs only and are left out"
    ),
    "tokens": Text("token（提问/回答）", "Tokens (prompts/answers)"),
    "how": Text("怎么看", "How to read it"),
}
