"""Build the binary files of the sample knowledge base from the text below (`python scripts/make_samples.py [folder]`).

差旅与报销制度.docx    headings and two tables
办公资产与通讯录.xlsx   two sheets, the first row of each its header
信息安全须知.pdf       text layer, outline and one table; the font is a standard CID font, so none is embedded

The company, its departments and its rules are invented. 员工手册.md and questions.csv beside them are plain files.
Two runs with the same library versions give the same bytes: no clock is read, archive members carry a fixed date.
"""

import re
import sys
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from docx import Document
from docx.document import Document as WordDocument
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from docx.table import _Cell
from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet
from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.textsplit import ALL_CANNOT_START
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, HRFlowable, Paragraph, SimpleDocTemplate, Table, paragraph

FOLDER = Path(__file__).resolve().parents[1] / "knowledge_base" / "samples" / "handbook"
COMPANY = "杭州岚汀传感科技有限公司"
DATE = "2026-01-01T00:00:00Z"
NOTICE = "示例资料，其中的公司、部门、分机号和制度均为虚构。"
BLUE = "1F5673"
PALE = "E6EFF4"

Rows = list[list[str]]

# --- 差旅与报销制度.docx ---------------------------------------------------------------------------------------------

LODGING: Rows = [
    ["职级", "一类城市（元/晚）", "二类城市（元/晚）", "三类城市（元/晚）"],
    ["员工（1至3级）", "450", "350", "280"],
    ["主管与经理（4至6级）", "550", "450", "350"],
    ["总监及公司领导（7级及以上）", "750", "600", "450"],
]
ALLOWANCE: Rows = [
    ["目的地", "餐费补助（元/天）", "市内交通补助（元/天）", "合计（元/天）"],
    ["一类城市", "120", "60", "180"],
    ["二类城市", "100", "50", "150"],
    ["三类城市", "80", "40", "120"],
]
# (kind, text): a heading of level 1 or 2, a paragraph, or a table with its caption.
TRAVEL: list[tuple[str, str]] = [
    ("1", "一、总则"),
    ("2", "1.1 适用范围"),
    (
        "p",
        "本制度适用于全体员工的因公出差和日常费用报销，实习生参照1至3级员工执行。在杭州市区内外出办事不算出差。",
    ),
    ("2", "1.2 职级与城市分类"),
    (
        "p",
        "职级分为三档：1至3级为员工，4至6级为主管与经理，7级及以上为总监及公司领导。城市分为三类：一类城市是北京、上海、广州、深圳；"
        "二类城市是其他直辖市、省会城市和计划单列市；其余市县为三类城市。",
    ),
    ("1", "二、出差申请"),
    ("2", "2.1 申请与审批"),
    (
        "p",
        "出差前至少2个工作日在OA系统提交出差申请，写明事由、地点、日期和预计费用。出差5天以内（含5天）由部门负责人批准，"
        "超过5天再报总经理批准。遇到客户现场故障等紧急情况，可以先电话报批，出发后1个工作日内补单。",
    ),
    ("2", "2.2 预借差旅费"),
    (
        "p",
        "预计自己垫付超过2000元的，可以向财务部预借差旅费，每次不超过5000元，至少提前3个工作日申请。借款在报销时冲抵，"
        "前一笔没有还清的不再借款。",
    ),
    ("1", "三、交通"),
    ("2", "3.1 城市间交通"),
    (
        "p",
        "乘坐高铁、动车的，1至6级坐二等座，7级及以上可以坐一等座。高铁全程超过5小时的，可以乘飞机经济舱，机票由行政部统一预订。"
        "经批准自驾出差的，按每公里0.8元补贴，过路费凭票报销。",
    ),
    ("2", "3.2 市内交通"),
    (
        "p",
        "出差期间的市内交通由每日补助包干。携带样机或仪器、或者22:00以后到达的，出租车费可以凭票另行报销，"
        "当天不再领取市内交通补助。",
    ),
    ("1", "四、住宿与补助"),
    ("2", "4.1 住宿限额"),
    (
        "p",
        "住宿费在限额以内凭发票据实报销，超出部分由个人承担。两人合住一间的，按职级较高者的限额上浮20%。"
        "参加展会或会议、由主办方统一安排住宿的，可以按实际价格报销，须附会议通知。",
    ),
    ("lodging", "表1 住宿限额（一类城市为北京、上海、广州、深圳）"),
    ("2", "4.2 每日补助"),
    (
        "p",
        "补助按出差的自然天数计算，不需要提供发票。出发当天12:00以后启程、或者返回当天12:00以前到达的，当天补助减半。"
        "客户或主办方提供餐食的，每一餐扣减当天餐费补助的三分之一。",
    ),
    ("allowance", "表2 每日出差补助"),
    ("1", "五、日常费用"),
    ("2", "5.1 业务招待"),
    (
        "p",
        "招待客户须事先在OA申请，人均不超过150元，陪同人数不多于客人人数。报销时写明客户单位、人数和事由，并附消费明细。",
    ),
    ("2", "5.2 加班交通与通讯"),
    (
        "p",
        "工作日加班到21:30以后的，可以打车回家，凭票报销，每次不超过60元。市场销售部员工每月有150元通讯补贴，随工资发放，"
        "话费发票不再另行报销。",
    ),
    ("1", "六、报销"),
    ("2", "6.1 报销时限"),
    (
        "p",
        "出差返回后15个工作日内提交差旅报销单；日常费用在发票开具之日起60天内提交。逾期的须由部门负责人书面说明原因，"
        "逾期超过90天的不再受理。",
    ),
    ("2", "6.2 票据要求"),
    (
        "p",
        f"发票抬头写公司全称“{COMPANY}”，税号在OA首页查询。电子发票上传PDF或OFD原件即可，不需要打印；住宿发票须附酒店水单。"
        "火车票、机票以电子客票凭证报销。",
    ),
    ("2", "6.3 审批与付款"),
    (
        "p",
        "单笔3000元以内（含3000元）由部门负责人审批；超过3000元、不超过10000元的，加财务部负责人审批；超过10000元的，"
        "再报总经理审批。财务部收到完整单据后3个工作日内完成审核，每周五统一付款到工资卡。",
    ),
    ("2", "6.4 不予报销的情形"),
    (
        "p",
        "个人消费、交通罚款、没有合规票据的支出，以及未经批准的出差费用，不予报销。虚报费用的，除退回款项外，按严重违纪处理。",
    ),
]

# --- 办公资产与通讯录.xlsx -------------------------------------------------------------------------------------------

EQUIPMENT: Rows = [
    ["部门", "岗位", "电脑", "显示器", "其他配备", "更换年限"],
    [
        "研发部",
        "嵌入式工程师",
        "14英寸笔记本，内存32GB，硬盘1TB",
        "27英寸2台",
        "万用表1块，焊台两人共用1台",
        "4年",
    ],
    ["研发部", "软件与算法工程师", "16英寸笔记本，内存64GB，硬盘2TB", "27英寸2台", "降噪耳机1副", "4年"],
    ["研发部", "结构工程师", "台式工作站，内存64GB，专业显卡", "27英寸2台", "三维鼠标1个", "5年"],
    ["研发部", "测试工程师", "14英寸笔记本，内存32GB，硬盘1TB", "24英寸2台", "便携示波器两人共用1台", "4年"],
    ["生产部", "产线操作员", "不配个人电脑，使用工位终端", "无", "防静电服2套，防静电鞋1双", "服装每年更换"],
    [
        "生产部",
        "工艺与设备工程师",
        "14英寸笔记本，内存16GB，硬盘512GB",
        "24英寸1台",
        "对讲机1部，防静电服2套",
        "4年",
    ],
    ["品质部", "检验员", "台式电脑，内存16GB，硬盘512GB", "24英寸1台", "防静电服2套，数显卡尺1把", "5年"],
    [
        "市场销售部",
        "销售",
        "13英寸轻薄笔记本，内存16GB，硬盘512GB",
        "24英寸1台",
        "样机箱1个，每月30GB流量卡1张",
        "3年",
    ],
    [
        "市场销售部",
        "技术支持",
        "14英寸笔记本，内存32GB，硬盘1TB",
        "24英寸1台",
        "现场工具包1套，安全帽1顶",
        "3年",
    ],
    [
        "供应链部",
        "采购与仓库管理员",
        "台式电脑，内存16GB，硬盘512GB",
        "24英寸1台",
        "仓库配手持扫码枪，每班2把",
        "5年",
    ],
    [
        "人力、财务与行政",
        "职能岗位",
        "14英寸笔记本，内存16GB，硬盘512GB",
        "24英寸1台",
        "财务部另配票据扫描仪1台",
        "4年",
    ],
    [
        "信息技术部",
        "运维工程师",
        "14英寸笔记本，内存32GB，硬盘1TB",
        "27英寸2台",
        "测线仪1台，值班手机1部",
        "4年",
    ],
    ["各部门", "实习生", "库存笔记本，内存不低于16GB", "24英寸1台", "实习结束当天归还", "不更换"],
]
CONTACTS: Rows = [
    ["部门", "窗口", "负责事项", "分机", "服务时间", "位置"],
    ["行政部", "前台", "访客登记、快递收发、会议室预订", "6000", "工作日8:30至18:00", "一层"],
    ["行政部", "保安室", "大门出入、夜间巡查、失物招领", "6001", "全天24小时", "一层"],
    ["行政部", "综合事务", "门禁卡、办公用品、机票预订", "6020", "工作日9:00至18:00", "四层"],
    ["总经理办公室", "秘书", "公章使用、合规反映", "6010", "工作日9:00至18:00", "四层"],
    ["人力资源部", "招聘与入职", "面试安排、入职手续、内部推荐", "6031", "工作日9:00至18:00", "四层"],
    ["人力资源部", "薪酬与社保", "工资条疑问、社会保险、住房公积金", "6032", "工作日9:00至18:00", "四层"],
    ["人力资源部", "培训与绩效", "新员工培训、课程报名、绩效复核", "6033", "工作日9:00至18:00", "四层"],
    ["财务部", "报销", "报销单审核、预借差旅费", "6041", "工作日9:30至16:30", "四层"],
    ["财务部", "开票与付款", "给客户开票、供应商付款", "6042", "周二、周四9:30至16:30", "四层"],
    ["信息技术部", "服务台", "账号、电脑、打印机和网络故障", "6050", "工作日8:30至18:30", "三层"],
    ["信息技术部", "安全值班", "信息安全事件报告", "6055", "全天24小时", "三层"],
    ["研发部", "项目管理", "研发项目进度、样机借用", "6100", "工作日9:00至18:00", "三层"],
    ["生产部", "调度室", "排产、车间安全、班次调整", "6200", "每天7:30至23:30", "一层"],
    ["品质部", "实验室", "来料检验、传感器校准", "6210", "工作日9:00至17:30", "二层"],
    ["供应链部", "采购与仓库", "物料采购、出入库", "6220", "工作日8:00至17:00", "一层"],
    ["市场销售部", "售后支持", "客户报修、现场服务派单", "6310", "周一至周六9:00至18:00", "四层"],
]

# --- 信息安全须知.pdf ------------------------------------------------------------------------------------------------

LEVELS: Rows = [
    ["级别", "例子", "怎样保管和传送"],
    ["公开", "产品说明书、官网文章", "可以对外发送，内容以市场销售部发布的版本为准。"],
    ["内部", "会议纪要、规章制度、排产计划", "只在公司网盘和OA中传阅，对外提供须经部门负责人批准。"],
    [
        "机密",
        "电路图、源代码、报价、薪酬",
        "只给工作需要的人，传送前加密，密码另行告知；不得打印后带出公司。",
    ],
]
SECURITY: list[tuple[str, list[str]]] = [
    (
        "一、适用范围",
        [
            "本须知适用于全体员工、实习生和驻场的合作单位人员。信息技术部负责技术措施和日常检查，各部门负责人是本部门信息安全的责任人。"
            "新员工在入职后10个工作日内完成在线课程和测验，80分及格。",
        ],
    ),
    (
        "二、账号与密码",
        [
            "1. 密码不少于12位，须包含大写字母、小写字母、数字和符号中的三种，每180天更换一次，不得与最近5次的密码相同。",
            "2. 连续输错5次，账号锁定30分钟；急用时可请信息技术部服务台（分机6050）核实身份解锁。",
            "3. 登录OA、VPN和代码库须通过手机动态码二次验证。账号只限本人使用，不得借给同事，也不得写在便签上。",
        ],
    ),
    (
        "三、电脑与移动存储",
        [
            "1. 离开座位时请锁屏；电脑无操作5分钟会自动锁屏。",
            "2. 系统补丁在每周三12:30推送，收到提示后48小时内重启电脑完成安装。",
            "3. 电脑的USB存储功能默认关闭。确有需要的，向信息技术部借用加密U盘，每次最多借7天，用完清空后归还。",
            "4. 只安装软件中心里的软件；需要其他软件的，在OA提交申请，信息技术部在2个工作日内答复。",
        ],
    ),
    (
        "四、网络与远程办公",
        [
            "1. 访客只能使用访客无线网络，账号由前台发放，8小时后自动失效。私人设备不得接入办公网。",
            "2. 在家或出差时，须先连接VPN再访问公司系统；不要在网吧、酒店等处的公用电脑上登录。",
        ],
    ),
    (
        "五、资料分级与外发",
        [
            "公司的资料分为公开、内部、机密三级，由起草人在文件首页标明，没有标明的按内部资料对待。",
            "不得用私人邮箱、私人网盘传送内部和机密资料，也不得输入公司以外的人工智能工具。"
            "需要智能问答的，请使用公司内网的知识库助手。",
            "TABLE",
        ],
    ),
    (
        "六、邮件与钓鱼防范",
        [
            "1. 收到要求点击链接、填写密码或转账的邮件，先核对发件人地址；拿不准的，用邮件客户端的“举报”按钮转给信息技术部，不要回复。",
            "2. 凡通知变更收款账户的邮件，一律通过原来留存的电话向对方核实。",
            "3. 公司每季度组织一次钓鱼邮件演练，误点链接的员工在5个工作日内补学30分钟的课程。",
        ],
    ),
    (
        "七、办公场所",
        [
            "1. 接待访客请提前1天在OA预约，访客凭访客证进入，由接待人全程陪同，不得进入机房；参观实验室和车间不得拍照。",
            "2. 打印后请立即取走文件，超过24小时无人认领的由行政部销毁；印有内部和机密资料的废纸须用碎纸机处理。",
            "3. 会议结束后请擦净白板、收好资料。门禁卡遗失的，当天告知行政部停用，补办收工本费20元。",
        ],
    ),
    (
        "八、数据备份与离职",
        [
            "工作文件请保存在公司网盘，不要只放在电脑桌面。网盘每天凌晨1:00自动备份，误删的文件在30天内可以找回。"
            "员工离职的，账号在最后工作日18:00停用，网盘文件转交直属上级。",
        ],
    ),
    (
        "九、事件报告",
        [
            "1. 发现电脑中毒、资料泄露或账号被盗，请先断开网络、不要关机，并在30分钟内拨打安全值班分机6055，全天有人接听。",
            "2. 电脑、手机或加密U盘丢失的，最迟1小时内报告，信息技术部会远程锁定设备并清除数据。",
            "3. 主动及时报告的不追究过失；隐瞒不报或故意违反本须知的，视情节给予警告直至解除合同。",
        ],
    ),
]


def freeze(data: bytes) -> bytes:
    """Write an Office file again with fixed dates: of every archive member, and in its core properties."""
    out = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(data)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for item in old.infolist():
            content = old.read(item)
            if item.filename == "docProps/core.xml":
                content = re.sub(
                    rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*", rb"\g<1>" + DATE.encode(), content
                )
            member = zipfile.ZipInfo(item.filename, (2026, 1, 1, 0, 0, 0))
            member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, 3
            new.writestr(member, content)
    return out.getvalue()


# --- Word ------------------------------------------------------------------------------------------------------------


def style_word(document: WordDocument) -> None:
    """Set page, fonts and spacing for a Chinese text; styles name the East Asian font apart from the Latin one."""
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.6)
    section.top_margin = section.bottom_margin = Cm(2.4)
    sizes = {"Normal": 11.0, "Title": 20.0, "Heading 1": 15.0, "Heading 2": 12.0, "Caption": 10.0}
    for name, size in sizes.items():
        style: Any = document.styles[name]
        style.font.name, style.font.size = "Arial", Pt(size)
        style.font.italic = False
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
            fonts.attrib.pop(qn(f"w:{theme}"), None)
        fonts.set(qn("w:eastAsia"), "宋体" if name == "Normal" else "黑体")
        if name != "Normal":
            style.font.color.rgb = RGBColor.from_string(BLUE)
    normal: Any = document.styles["Normal"]
    normal.paragraph_format.line_spacing, normal.paragraph_format.space_after = 1.35, Pt(6)
    caption: Any = document.styles["Caption"]
    caption.paragraph_format.space_before, caption.paragraph_format.keep_with_next = Pt(6), True
    for language in document.styles.element.iter(qn("w:lang")):
        language.set(qn("w:eastAsia"), "zh-CN")


def fill_cell(cell: _Cell, text: str, *, header: bool, centred: bool) -> None:
    """Write one table cell; header cells are bold on a pale ground."""
    paragraph = cell.paragraphs[0]
    paragraph.paragraph_format.space_before = paragraph.paragraph_format.space_after = Pt(3)
    paragraph.paragraph_format.line_spacing = 1.0
    paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER if centred else WD_ALIGN_PARAGRAPH.LEFT
    run = paragraph.add_run(text)
    run.font.size, run.bold = Pt(10), header
    if header:
        shade = OxmlElement("w:shd")
        for key, value in (("val", "clear"), ("color", "auto"), ("fill", PALE)):
            shade.set(qn(f"w:{key}"), value)
        cell._tc.get_or_add_tcPr().append(shade)


def add_table(document: WordDocument, rows: Rows) -> None:
    """Append a table whose first row is marked as its header."""
    table = document.add_table(len(rows), len(rows[0]), style="Table Grid")
    table.alignment = WD_TABLE_ALIGNMENT.CENTER
    for row, texts in zip(table.rows, rows, strict=True):
        first = texts is rows[0]
        for column, (cell, text) in enumerate(zip(row.cells, texts, strict=True)):
            cell.width = Cm(5.2 if column == 0 else 3.5)
            fill_cell(cell, text, header=first, centred=column > 0)
    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    table.rows[0]._tr.get_or_add_trPr().append(mark)
    document.add_paragraph().paragraph_format.space_after = Pt(0)


def drop_extras(document: WordDocument) -> None:
    """Remove parts of python-docx's template that mean nothing here: a preview picture, styles for Word 2007."""
    package, part = document.part.package.rels, document.part.rels
    for relations, kind in ((package, "/thumbnail"), (part, "/stylesWithEffects"), (part, "/customXml")):
        for key in [key for key, relation in relations.items() if relation.reltype.endswith(kind)]:
            relations.pop(key)


def build_docx() -> bytes:
    """差旅与报销制度.docx."""
    document = Document()
    style_word(document)
    drop_extras(document)
    properties = document.core_properties
    properties.title, properties.author, properties.language = "差旅与报销制度", "财务部", "zh-CN"
    properties.subject, properties.comments, properties.keywords = f"{COMPANY} 2026年版", NOTICE, "差旅,报销"
    document.add_heading("差旅与报销制度", 0)
    document.add_paragraph(f"{COMPANY}，2026年版，自2026年1月1日起施行，由财务部负责解释。{NOTICE}")
    tables = {"lodging": LODGING, "allowance": ALLOWANCE}
    for kind, text in TRAVEL:
        if kind in tables:
            document.add_paragraph(text, style="Caption")
            add_table(document, tables[kind])
        elif kind == "p":
            document.add_paragraph(text)
        else:
            document.add_heading(text, int(kind))
    out = BytesIO()
    document.save(out)
    return freeze(out.getvalue())


# --- Excel -----------------------------------------------------------------------------------------------------------


def fill_sheet(sheet: Worksheet, rows: Rows, widths: Sequence[int]) -> None:
    """Write rows under a styled, frozen header; an extension is a number, else Excel marks its cell as doubtful."""
    line = Side(style="thin", color="B8C7CF")
    border = Border(left=line, right=line, top=line, bottom=line)
    for number, texts in enumerate(rows, 1):
        for column, text in enumerate(texts, 1):
            cell = sheet.cell(number, column, int(text) if text.isdecimal() else text)
            cell.border = border
            cell.font = Font(
                name="宋体", size=11, bold=number == 1, color="FFFFFF" if number == 1 else "1A1A1A"
            )
            cell.alignment = Alignment(horizontal="left", vertical="center", wrap_text=True)
            if number == 1:
                cell.fill = PatternFill("solid", start_color=BLUE)
        sheet.row_dimensions[number].height = 24 if number == 1 else 32
    for letter, width in zip("ABCDEF", widths, strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", 9
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = "1:1"


def build_xlsx() -> bytes:
    """办公资产与通讯录.xlsx."""
    book = Workbook()
    book.properties.title, book.properties.creator = "办公资产与通讯录", "行政部"
    book.properties.subject, book.properties.description = f"{COMPANY} 2026年版", NOTICE
    equipment = book.active
    if not isinstance(equipment, Worksheet):
        raise TypeError("a new workbook has no sheet")
    equipment.title = "设备配备标准"
    fill_sheet(equipment, EQUIPMENT, (18, 20, 40, 13, 32, 14))
    fill_sheet(book.create_sheet("部门通讯录"), CONTACTS, (16, 16, 36, 8, 26, 8))
    out = BytesIO()
    book.save(out)
    return freeze(out.getvalue())


# --- PDF -------------------------------------------------------------------------------------------------------------

FONT = "STSong-Light"
PADDING = 6  # reportlab insets a frame's text by this much
INK = HexColor(f"#{BLUE}")
BODY = ParagraphStyle(
    "body", fontName=FONT, fontSize=10.5, leading=17.5, wordWrap="CJK", alignment=TA_JUSTIFY, spaceAfter=4
)
ITEM = ParagraphStyle("item", BODY, leftIndent=12.5, firstLineIndent=-12.5)
HEADING = ParagraphStyle(
    "heading", BODY, fontSize=14, leading=20, textColor=INK, spaceBefore=10, spaceAfter=4, keepWithNext=1
)
TITLE = ParagraphStyle("title", BODY, fontSize=24, leading=32, textColor=INK, spaceAfter=2)
SMALL = ParagraphStyle("small", BODY, fontSize=9.5, leading=15, textColor=HexColor("#5A6770"))
CELL = ParagraphStyle("cell", BODY, fontSize=9.5, leading=14, spaceAfter=0)


class Guide(SimpleDocTemplate):  # type: ignore[misc]  # reportlab is untyped
    """A document that puts every heading into the outline and a footer under every page."""

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802 - reportlab's name
        """Bookmark a title or a heading where it was drawn."""
        style = getattr(flowable, "style", None)
        if style in (TITLE, HEADING):
            text = flowable.getPlainText()
            self.canv.bookmarkPage(text)
            self.canv.addOutlineEntry(text, text, 0 if style is TITLE else 1, closed=False)

    def afterPage(self) -> None:  # noqa: N802 - reportlab's name
        """Draw the footer last, so that it is also last in the page's text."""
        canvas, left, right = self.canv, self.leftMargin + PADDING, A4[0] - self.rightMargin - PADDING
        canvas.saveState()
        canvas.setStrokeColor(HexColor("#B8C7CF"))
        canvas.line(left, 17 * mm, right, 17 * mm)
        canvas.setFont(FONT, 9)
        canvas.setFillColor(HexColor("#5A6770"))
        canvas.drawString(left, 11.5 * mm, "岚汀传感 信息安全须知")
        canvas.setFont("Helvetica", 9)
        canvas.drawRightString(right, 11.5 * mm, str(self.page))
        canvas.restoreState()


def mixed(text: str) -> str:
    """Set Latin letters and digits in Helvetica: a viewer's stand-in for the Chinese font has them in other widths."""
    return re.sub(r"[0-9A-Za-z.:]+", r'<font name="Helvetica">\g<0></font>', text)


def level_table() -> Table:
    """The table of classification levels."""
    cells = [[Paragraph(mixed(text), CELL) for text in row] for row in LEVELS]
    edge, ground = HexColor("#B8C7CF"), HexColor(f"#{PALE}")
    look = [
        ("GRID", (0, 0), (-1, -1), 0.5, edge),
        ("BACKGROUND", (0, 0), (-1, 0), ground),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("TOPPADDING", (0, 0), (-1, -1), 4),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
    ]
    return Table(
        cells, colWidths=[16 * mm, 57 * mm, 84.5 * mm], style=look, repeatRows=1, spaceBefore=4, spaceAfter=8
    )


def build_pdf() -> bytes:
    """信息安全须知.pdf."""
    rl_config.useA85 = 0  # compressed streams as bytes, so that no tool takes the file for text
    # reportlab keeps Japanese marks from opening a line, but not these.
    paragraph.ALL_CANNOT_START = ALL_CANNOT_START + "，；：？！”》"
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    flow: list[Flowable] = [
        Paragraph("信息安全须知", TITLE),
        Paragraph(mixed(f"{COMPANY}，2026年版，自2026年1月1日起施行，由信息技术部负责解释。{NOTICE}"), SMALL),
        HRFlowable(width="100%", thickness=1.2, color=INK, spaceBefore=4, spaceAfter=4),
    ]
    for title, texts in SECURITY:
        flow.append(Paragraph(title, HEADING))
        for text, following in zip(texts, [*texts[1:], ""], strict=True):
            if text == "TABLE":
                flow.append(level_table())
                continue
            block = Paragraph(mixed(text), ITEM if re.match(r"\d\. ", text) else BODY)
            block.keepWithNext = following == "TABLE"
            flow.append(block)
    out = BytesIO()
    guide = Guide(
        out,
        pagesize=A4,
        leftMargin=24 * mm,
        rightMargin=24 * mm,
        topMargin=20 * mm,
        bottomMargin=22 * mm,
        title="信息安全须知",
        author="信息技术部",
        subject=f"{COMPANY} 2026年版",
        keywords="信息安全,密码,资料分级",
        creator="scripts/make_samples.py",
        lang="zh-CN",
        invariant=1,
    )
    guide.build(flow)
    return out.getvalue()


def main(folder: Path) -> None:
    """Write the three files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    builders = {
        "差旅与报销制度.docx": build_docx,
        "办公资产与通讯录.xlsx": build_xlsx,
        "信息安全须知.pdf": build_pdf,
    }
    for name, build in builders.items():
        data = build()
        (folder / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
