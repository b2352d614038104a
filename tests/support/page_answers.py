"""What the stand-in for a vendor says to the page's tests: answers that show what the page can show."""

SLOWLY = "慢慢说"
REPEAT = "请原样重复："
INVENTED = "编一个"

_TABLE = """工作满 **5 年**的员工，每年有 **5 天**带薪年休假 [2]。

| 累计工作年限 | 每年年休假 |
| --- | ---: |
| 满 1 年不满 10 年 | 5 天 |
| 满 10 年不满 20 年 | 10 天 |
| 满 20 年 | 15 天 |

休假时注意：

1. 年休假可以按半天申请，连休3天以上的提前10个工作日申请 [1]；
2. 当年没有休完的，可以保留到次年3月31日 [1]。
"""
_DRAWN = """入职当年按剩余日历天数折算：

$$
d = \\left\\lfloor \\frac{r}{365} \\times n \\right\\rfloor
$$

其中 $r$ 是剩余天数，$n$ 是全年天数 [1]。

```python
def leave(rest: int, whole: int) -> int:
    # 不足一天的部分不计
    return rest * whole // 365
```

```mermaid
graph LR
  A[提交申请] --> B{三天以内?}
  B -->|是| C[直属上级]
  B -->|否| D[部门负责人]
```
"""


def page_answer(prompt: str) -> str:
    """By what the question asks for; the prompt ends with it, whatever passages stand before."""
    if REPEAT in prompt:
        return prompt.rpartition(REPEAT)[2].strip()
    if SLOWLY in prompt:
        return "".join(f"第{number}句。" for number in range(1, 25))
    if INVENTED in prompt:
        return "工作满 1 年的员工每年有 37 天带薪年休假 [1]。"
    if "公式" in prompt:
        return _DRAWN
    return _TABLE
