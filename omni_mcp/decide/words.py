"""The words by which a type of task is told from its text: what routing knows besides the keywords of servers.yaml.

Data only, in two kinds. A *sign* means the type wherever it stands. An *other sense* is a phrase in which such a word
means something else (`go to the shop`, `写一封信`): it is taken out before signs are looked for. Entries are words or
small regular expressions, between bars. Everything was made on `tests/data/routing_tune.yaml` and on public texts; how
good it is is measured on texts set aside (docs/routing.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Vocabulary:
    """What means a type of task, and in which phrases it does not."""

    signs: tuple[str, ...]
    other_senses: tuple[str, ...]

    @cached_property
    def meaning(self) -> re.Pattern[str]:
        """Find a sign."""
        return any_of(self.signs)

    @cached_property
    def meaning_else(self) -> re.Pattern[str]:
        """Find a phrase in which nothing is a sign."""
        return any_of(self.other_senses)


def any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that finds each word: `go` is not in `good`; Chinese has no word borders."""
    return re.compile("|".join(map(_bordered, words)), re.IGNORECASE | re.MULTILINE | re.ASCII)


def _bordered(word: str) -> str:
    return rf"(?<![A-Za-z0-9_])(?:{word})(?![A-Za-z0-9_])" if word.isascii() else f"(?:{word})"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in re.split(r"\s\|\s", text.strip()))


def _either(text: str) -> str:
    return f"(?:{'|'.join(_listed(text))})"


PARTS_OF_PROGRAMS = _listed(r"""
    code | coding | codebase | programming | functions? | variables? | class component | methods? in |
    (?:base|parent|abstract)[ -]?class(?:es)? | interface in | type hints? | docstrings? | algorithms? |
    time complexity | (?:inner|for|while|nested) (?:loops?|ifs?) | regex(?:es|p)? | regular expressions? |
    with generics | arrays? | enums? | booleans? | mutex(?:es)? | coroutines? | goroutines? | callbacks? |
    middleware | linked lists? | binary (?:search|tree) | recursi(?:on|ve|vely) | singleton | pointers? | null |
    base64 | async(?:io)? | threads? | thread-safe | scripts? | macros? | (?:sort|unused|circular) (?:the )?imports |
    imports from | stdin | stdout | environment variables? | env vars? | hard-?cod(?:ed|ing) | log level | def \w+\( |
    \w+\(\) | #include | console\.log | 源码 | 正则 | 算法 | 组件 | 变量 | 类型标注 | 类型提示 | 线程 | 并发 | 异步 |
    递归 | 数组 | 指针 | 二叉树 | 链表 | 哈希表 | 循环 | 回调 | 单例 | 环境变量 | 硬编码 | 存储过程 | 索引 | 依赖 |
    日志
""")
WORK_ON_PROGRAMS = _listed(r"""
    refactor(?:s|ed|ing)? | debug(?:s|ged|ging)? | implement(?:s|ed|ing)? | compil(?:e[sd]?|ing|er)(?! a list) |
    deploy(?:s|ed|ing|ments?)? | lint(?:er|ing)? | vectori[sz]e | bisect | rebase | cherry-pick | scaffold | parses? |
    parser | strict mode | hotfix | pull requests? | (?-i:PRs?) | merge conflicts? | git | github actions | gitlab |
    repo | repository | monorepo | (?:which|last|this|each|my) commits? | (?:feature|main|master|release) branch |
    (?-i:CI)(?:/CD)? | pre-commit | dependenc(?:y|ies) | unit ?tests? | (?:integration|regression|e2e) tests? |
    (?:failing|flaky|broken) tests? | (?:write|add|fix|run) (?:\w+ )?tests | (?:test|code) coverage | 重构 | 编译 |
    调试 | 排查 | 修复 | 部署 | 分支 | 合并冲突 | 拉取请求 | 仓库 | 向量化 | 单元测试 | 单测 | 集成测试 | 测试用例 |
    测试覆盖率? | 实现一[个种] |
    实现[^，。\n]{0,12}(?:功能|算法|模块|系统|页面|效果|类|方法)
""")
FAULTS_OF_PROGRAMS = _listed(r"""
    bugs? | vulnerabilit(?:y|ies) | blank screen | seg(?:fault|mentation fault) | stack ?trace | traceback |
    (?-i:[A-Z]\w+(?:Error|Exception)) | undefined reference | memory leaks? | race condition | deadlocks? |
    (?:throws?|returns?) (?:a |an )?\d{3} | build fails? | (?:it|app|page|server|program) crash(?:es|ed) | 报错 |
    死锁 | 内存泄漏 | 空指针 | 白屏 | 崩溃 | 闪退 | 漏洞 | 幂等
""")
LANGUAGES_AND_TOOLS = _listed(r"""
    javascript | typescript | golang | kotlin | (?-i:Swift)(?:UI)? | c\+\+ | c# | dotnet | php | (?-i:Ruby) | scala |
    haskell | perl | lua | (?-i:Dart) | bash | shell (?:script|command)s? | powershell | vba | jsp | html5? | css |
    json | yaml | toml | xml | protobuf | graphql | sql | mysql | postgres(?:ql)? | sqlite | mongodb | redis |
    react(?! (?:to|with|when|if)\b) | vue ?\d? | angular | svelte | next\.js | node\.js | in node | npm | pnpm |
    webpack | vite | eslint | (?-i:Prettier) | tailwind | django | (?-i:Flask) | fastapi | (?-i:Rails) | laravel |
    spring boot | (?-i:Flutter) | android \d+ | numpy | pandas | pytorch | tensorflow | pytest | (?-i:Jest) | junit |
    docker | dockerfile | kubernetes | k8s | helm chart | terraform | ansible | systemd | cron ?job | makefile |
    cmake | gradle | maven | tsconfig | run black
""")
WHAT_IS_BUILT = _listed(r"""
    apis? | endpoints? | http | webhooks? | websockets? | back-?end | front-?end | databases? | schema |
    index to the \w+ table | pagination | idempoten(?:t|cy) | cli | command[- ]line | web ?app | microservices? |
    navbar | crawler | scraper | sdk | oauth | jwt | nginx | localhost | config loader | (?:write|need) a program |
    (?:login|sign-?up|landing) page | (?:chrome|browser) extension | (?:discord|slack|telegram) bot in |
    (?:payment|login|user|order) module | 脚本 | 爬虫 | 接口 | 数据库 | 数据表 | 前端 | 后端 | 命令行 | 插件 |
    小程序 | 程序 | 脚手架 | 微服务 | 架构 | 登录页 | (?:登录|注册)(?:模块|功能) | 导航栏 | 网页应用 | 控制台
""")
FILES = _listed(r"""
    [\w/-]{1,80}\.(?:py|[jt]sx?|mjs|java|go|rs|rb|php|c|cc|cpp|h|hpp|cs|kt|swift|dart|scala|lua|sh|ps1|sql|vue|html) |
    [\w/-]{1,80}\.(?:s?css|json|ya?ml|toml|xml|ini|proto|tf|ipynb|gradle) |
    (?:src|tests?|lib|app|components|utils)/\S*
""")

PROGRAMS = _either("scripts? | program | cron ?job | function | app | module | api | class | endpoint | library | test")
CHINESE_PROGRAMS = _either("脚本 | 程序 | 代码 | 函数 | 过程 | 模块 | 接口 | 组件 | 功能 | 服务 | 工具 | 爬虫")
TEXTS = _either(r"""
    letter | e-?mail | note | poem | haiku | song | story | novel | essay | article | blog ?post | post | report |
    memo | speech | talk | talking points | presentation | press release | review | caption | vows | summary |
    description | announcement | invitation | proposal | book
""")
TEXT_MACHINES = _either("generator | parser | sender | service | module | app | script | bot | api | endpoint | page")
CHINESE_TEXTS = _either(r"""
    信(?!号|息) | 函(?!数) | 邮件 | 电邮 | 诗 | 词 | 歌 | 文章 | 短文 | 作文 | 小说 | 故事 | [日周月]报 | 日记 |
    祝福 | 贺卡 | 情书 | 稿 | 报告 | 总结 | 简历 | [影书]评 | 评[论语价] | 散文 | 联 | 文案 | 介绍 | 笔记 |
    [读观]后感 | 启事 | 赠言 | 寄语 | 检讨 | 申请 | 合同 | 协议 | 计划 | 方案 | 策划 | 注意事项 | 攻略 | 博客 |
    公众号 | 朋友圈 | 论文 | 提案 | 通知 | 公告 | 说明书 | 作业 | 字 | 感想 | 心得 | 剧本 | 菜谱 | 清单 | 列表 |
    问题 | 例子 | 句 | 段落 | 对话 | 文本 | 笑话 | 场景 | 开头 | 结尾 | 广告 | 摘要 | 解释 | 宣传语 | 问答 | FAQ |
    标题 | 描述 | 推理 | 答案 | 公式 | 搭配
""")
CHINESE_TEXT_MACHINES = _either(
    "生成 | 解析 | 发送 | 脚本 | 系统 | 模块 | 程序 | 接口 | 插件 | 工具 | 服务 | 页面 | 组件"
)
WRITES = _either("write | draft | compose | outline | proofread | give | rewrite | polish")
CHINESE_DETAIL = rf"(?:(?!{CHINESE_PROGRAMS}|{CHINESE_TEXT_MACHINES})[^，。；！？,;!?\n]){{0,14}}?"
WRITING = (
    rf"{WRITES} (?:(?!{PROGRAMS} )\w+ ){{0,5}}?{TEXTS}(?![ -]{TEXT_MACHINES})[^.?!\n]{{0,300}}",
    rf"写{CHINESE_DETAIL}{CHINESE_TEXTS}(?!{CHINESE_TEXT_MACHINES})[^。！？!?\n]{{0,300}}",
    r"写[一两二三几]?[封首篇副幅句道张][^。！？!?\n]{0,300}",
    *_listed(
        "[手书听默速填抄描缩撰续改拼]写 | 写(?:字|真|照|生|意|法|实|作|成|[下出](?!.{0,9}(?:代码|函数|程序|脚本)))"
    ),
)
"""Writing that is no programming, to the end of its sentence."""

MATERIAL = _listed(r"""
    (?:following|attached|below) (?:article|text|passage|paragraph|story|e-?mail|dialogue|conversation)\b[\s\S]* |
    (?:以下|下面|下列|下文|给定)的?(?:这[篇段个])?[两一二三四五]?[篇段个]?(?:文章|文本|段落|短文|文字|资料|信息|对话|新闻|句子)[\s\S]*
""")
"""What a text brings along says nothing of what is to be done with it."""

PLAN_WORDS_IN_OTHER_SENSES = _listed(r"""
    (?:let'?s|let us|(?:i|we)'?ll|i|we|you|they|should|could|can|will|would|must|might|please|and|don'?t|to) (?-i:go) |
    go(?= (?:to|over|on|through|for|out|home|back|ahead|up|down|in|into|with|and|away|see|get|there|by|from)\b) |
    go(?= (?:shopping|hiking|swimming|running|wrong|well|green|viral|public|the|buy|find|check|ask|tell|beyond)\b) |
    go(?=\s*[吧啊呀了!！]) | pok[eé]mon go | on the go | have a go |
    (?:ball|burmese|pet|rock|carpet|reticulated) pythons? | pythons? (?:snakes?|skin|bites?|eggs?) |
    (?:蟒蛇|宠物|养)[^，。\n]{0,4}python | python[^，。\n]{0,4}[蟒蛇] |
    java (?:islands?|sea|trip|coffee|volcano|tour|holiday) | (?:central|east|west) java | java ?(?:岛|咖啡) |
    (?:trip|island|holiday|fly|travel)\w* (?:\w+ )?(?:to|in|of) java | coffee\W+(?:\w+\W+){0,5}?java |
    java\W+(?:\w+\W+){0,2}?(?:coffee|sumatra|bali|jakarta) |
    (?:remove|removing|get|getting|clean|prevent|stop) (?:the )?rust | rust ?游戏 |
    rust (?:on|off|from|stains?|spots?|belt|remover|proof) | [二一三]次函数 | (?:三角|指数|对数|幂|正弦|余弦)函数 |
    函数(?:公式|图像|图象) | (?:excel|表格|wps)[^，。\n]{0,12}函数 | 函数[^，。\n]{0,6}(?:excel|表格) |
    (?:股票|基金|邮政|邮编|机构|信用|银行|国家|城市|学校|院校|机场|税收)代码 | 代码是多少 |
    (?:少儿|儿童|孩子学?)编程 | 编程(?:班|课|培训|兴趣|教育|语言)
""")
SIGNS_IN_OTHER_SENSES = _listed(r"""
    https?://(?!git)\S+ | bug (?:bites?|spray|repellent) | bed ?bugs? | api style | d\.c |
    functions? of (?:the|a|an|my|our)(?! (?:code|class|module|script|program|api|library)) | function (?:room|hall) |
    (?:liver|kidney|brain|thyroid|heart|lung|cognitive|executive|bodily|immune) functions? |
    (?:postal|zip|dress|area|country|promo|discount|coupon|voucher|gift|door|access|building|tax|fire) codes? |
    (?:morse|penal|civil|honou?r|verification|booking|da vinci|diall?ing) codes? | codes? of (?:conduct|ethics) |
    (?:movie|film|tv|play|phone|sales|video) scripts? | swift (?:code|reply|response|transfer|payment) |
    taylor swift | ruby (?:ring|necklace|earrings?|wedding) | (?:reddit|twitter|forum|e-?mail|silk|sewing) threads? |
    (?:camera|photo|diet|nutrition) macros? | pointers? (?:on|about|for) | null and void |
    implement(?:ing|ed)? (?:\w+ ){0,3}?(?:polic(?:y|ies)|strateg(?:y|ies)|diet|habits?|routine|law|reform) |
    (?:短视频|拍摄|视频|直播|口播|分镜)脚本 | (?:情绪|心态|精神)崩溃 | 接口人 | (?:工作|军事|战略|战术)部署 |
    部署(?:会|工作) | (?:司法|法律|审批|办事|离婚|手续|诉讼|申请|流程|法定)程序 | 应用程序(?:技术问题|的(?:概念|特点)) |
    (?:物流|快递|租|海外|发货)仓库 | 仓库(?:管理员|保管|出租|地址) | (?:情感|药物|过度|产生|心理)依赖 |
    依赖(?:性|感|父母|他人) | (?:工作|教学|观察|施工|心情)日志 | (?:血液|恶性|良性|体内|经济)循环 |
    循环(?:经济|利用|系统) | (?:公司|组织|股权)架构 | 架构(?:调整|图) | (?:皮肤|受损|关系|术后|情感)修复 |
    修复(?:皮肤|受损|关系|霜) | (?:银行|公司)分支 | 分支机构 | (?:隐患|风险|疫情)排查 | 排查(?:隐患|风险) |
    (?:段落|句子|位置|输出)[^，。\n]{0,4}索引
""")

UNITS = _either(r"""
    seconds? | minutes? | hours? | days? | weeks? | months? | mornings? | afternoons? | evenings? | nights? |
    weekdays? | weekends? | workdays? | (?:mon|tues|wednes|thurs|fri|satur|sun)days?
""")
AGAIN_AND_AGAIN = (
    rf"(?:every|each) (?:\w+ ){{0,2}}?{UNITS}",
    rf"(?:first|last) {UNITS} of (?:every|each|the) (?:week|month|year)",
    *_listed(r"""
        (?:once|twice|\d times) (?:a|per) (?:day|hour|week) | (?:one|\d+) (?:\w+ ){1,3}(?:a|per) day |
        (?:daily|nightly|hourly|weekly|monthly)(?=,|:| (?:at|on|by|and|send|post|check|sync|collect|back|run)\b) |
        (?:report|check|update|post|sync|back ?up)\b[^.\n]{0,80}\b(?:daily|nightly|hourly) |
        每[天日晚早周月年隔当逢到] | 每(?:小时|分钟) | 每个(?:工作日|小时|月|星期|周|早|晚) | 定时 | 定期 |
        每\s?[\d一二两三四五六七八九十半]+\s?个?(?:秒|分钟?|小时|钟头|天|周|月)
    """),
)
WITHOUT_END = _listed(r"""
    24 ?/ ?7 | 24 ?[x×*] ?7 | 7 ?[x×*] ?24 | (?:round|around)[- ]the[- ]clock | day and night | non-?stop |
    continuous(?:ly)? | constantly | permanently | at all times | all the time | from now on | in the background |
    always (?:be|stay|keep|answer|reply) | stay (?:online|awake|available) | be available | on standby | 全天候? |
    昼夜 | 日夜 | 24 ?小时 | 二十四小时 | 不间断 | 不停地 | 常驻 | 从现在(?:起|开始) | 从今天起 | 值守 | 值班 |
    在线(?:回复|值守|客服) | 自动回复 | 一直(?:盯|运行|在线|监控|看着|守|关注|开着) |
    长期(?:跟踪|监控|监测|关注|运行|盯)
""")
WATCHING = _listed(r"""
    ^(?:please )?monitor | monitor (?:the|my|our|this|all|for|any) | ^(?:please )?watch(?! (?:a|this)\b) | ^track |
    keep an eye on | keep (?:on )?(?:\w+ ){0,4}?(?:watching|monitoring|checking|polling|running|tracking|listening) |
    (?:alert|notify|ping|warn|inform) (?:me|us|the \w+) (?:as soon as|when|whenever|if|above|below|on|once|at) |
    (?:tell|remind) (?:me|us) (?:whenever|as soon as|any ?time|every time) | any ?time (?:some|any)\w+ |
    let (?:me|us) know (?:whenever|as soon as|any ?time|every time) | 监控 | 监测 | 监听 | 盯[着盘住紧] |
    实时(?:关注|跟踪|提醒|推送) | 持续(?:关注|跟踪|追踪|运行|检查) | 随时(?:留意|关注|提醒|通知|待命|回复) |
    第一时间(?:通知|提醒|告诉|告警|报警) | 一有[^，。\n]{1,16}就 | 只要[^，。\n]{1,24}就
""")
ONCE_OR_NEVER = (
    rf"(?:write|create|build|implement|develop|fix|add|refactor|debug|make)\b[^.\n]{{0,80}}?{PROGRAMS}\b[^\n]{{0,300}}",
    rf"(?:写|开发|实现|修复?|重构|做)[^。\n]{{0,40}}?{CHINESE_PROGRAMS}[^\n]{{0,300}}",
    *_listed(r"""
        ^(?:how|why|what|which|who|where|is|are|do|does|did|was|should)\b[^\n]{0,300} | opens? 24 |
        \b(?:i|we|you|he|she|they|people)\b(?: \w+){1,6} (?:every|each) \w+[^.\n]{0,300} | for (?:every|each) \w+ |
        (?:我们?|他|她|孩子|人|家里)[\u4e00-\u9fff]{0,4}每[天日晚周月][^。\n]{0,300} |
        (?:菜单|食谱|行程)[^\n]{0,20}每天 |
        每[天日晚周月][^。\n]{0,40}?(?:多少|怎么|什么|吗|几[个次点杯]|为何|合适|正常)[^。\n]{0,300} |
        (?:24 ?小时|全天)(?:便利店|营业|药店) | 定期存款 | 定时炸弹 | 装监控 | 监控(?:摄像头?|系统|录像|坏|器|设备) |
        值班表
    """),
)
"""A program that runs again and again is wanted once; questions and habits are no orders."""

VOCABULARIES: Mapping[str, Vocabulary] = {
    "coding": Vocabulary(
        signs=(
            *PARTS_OF_PROGRAMS,
            *WORK_ON_PROGRAMS,
            *FAULTS_OF_PROGRAMS,
            *LANGUAGES_AND_TOOLS,
            *WHAT_IS_BUILT,
            *FILES,
        ),
        other_senses=(*MATERIAL, *WRITING, *PLAN_WORDS_IN_OTHER_SENSES, *SIGNS_IN_OTHER_SENSES),
    ),
    "always_on": Vocabulary(
        signs=(*AGAIN_AND_AGAIN, *WITHOUT_END, *WATCHING), other_senses=(*MATERIAL, *ONCE_OR_NEVER)
    ),
}
"""By task type."""
