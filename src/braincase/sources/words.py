"""Vocabulary of tables: what columns, sexes and missing values are called, in many languages."""

from __future__ import annotations

#: A column's common name by what people write (as `rows.column_name` returns it).
ALIASES = {
    name: common
    for common, names in {
        "age": "age_at_scan age_years age_in_years age_y age_yrs ageyears alter lebensalter "
        "edad idade âge âge_ans eta età leeftijd wiek возраст "
        "年齢 年齢_歳 年齢_才 年令 歳 年龄 年齡 나이 연령",
        "sex": "gender geschlecht sexo sexe sesso geslacht płeć пол kön kjønn 性別 性别 성별",
        "diagnosis": "diagnose diagnostic diagnóstico diagnostico diagnosi диагноз rozpoznanie "
        "診断 診断名 病名 診斷 诊断 진단",
        "group": "gruppe groupe grupo gruppo groep группа grupa 群 グループ 組 组 그룹",
        "site": "standort centre center zentrum centro 施設 施設名",
        "scanner": "skanner 装置 撮像装置",
        "handedness": "händigkeit lateralité 利き手",
        "education": "bildung ausbildung 教育年数 教育歴",
        "subject": "proband probanden_id patienten_id patientennummer sujet sujeto paciente "
        "probandennummer versuchsperson vp deltager pasient patiente paziente пациент испытуемый "
        "被験者 被験者番号 被験者id 患者 患者id 患者番号 受试者 病人 피험자",
        "session": "sitzung visite visita séance sesión besuch 訪問 来院 セッション 회차",
        "path": "pfad datei dateiname bild chemin fichier ruta archivo percorso ścieżka путь файл "
        "パス ファイル ファイル名 画像 路径 文件 文件名 图像 경로 파일",
        "date": "datum fecha data 日付 検査日 撮像日 撮影日 日期 날짜",
    }.items()
    for name in names.split()
}
MALE = (
    *("m", "male", "man", "men", "boy", "mâle", "masculin", "masculino", "maschile", "maschio"),
    *("männlich", "maennlich", "mannlich", "mann", "herr", "homme", "hombre", "uomo", "masc"),
    *("garçon", "ragazzo", "menino", "niño", "dhr.", "man.", "kille", "mand", "mies", "poika"),
    *("férfi", "ffi", "erkek", "muž", "muški", "muško", "мужчина", "άνδρας", "άρρεν", "ذكر"),
    *("זכר", "ชาย", "laki-laki", "pria", "lelaki", "nam", "पुरुष", "чоловік", "vīrietis", "vyras"),
    *("bărbat", "masculi", "남자", "남성", "公"),
    *("man.", "mannelijk", "mężczyzna", "муж", "мужской", "м", "男", "男性", "男子", "남", "남성"),
)
FEMALE = (
    *("f", "female", "woman", "women", "girl", "w", "weiblich", "frau", "femme", "féminin", "fem"),
    *("feminin", "femenino", "feminino", "mujer", "mulher", "donna", "femminile", "femmina"),
    *("vrouw", "vrouwelijk", "kobieta", "kvinna", "жен", "женский", "ж", "女", "女性", "女子"),
    *("여", "여성", "여자", "mädchen", "fille", "ragazza", "niña", "mw.", "mevr.", "flicka"),
    *("kvinde", "nainen", "tyttö", "nő", "kadın", "kadin", "žena", "žensko", "ženski", "женщина"),
    *("γυναίκα", "θήλυ", "أنثى", "נקבה", "หญิง", "perempuan", "wanita", "nữ", "महिला", "жінка"),
    *("sieviete", "moteris", "femeie", "feminină", "母"),
)
SEXES = dict.fromkeys(MALE, "M") | dict.fromkeys(FEMALE, "F")
#: One letter means another sex beside certain others: M is *mujer* beside H, a woman.
SEX_PAIRS = {
    frozenset("hm"): {"h": "M", "m": "F"},
    frozenset("hf"): {"h": "M", "f": "F"},
    frozenset("mv"): {"m": "M", "v": "F"},
    frozenset("mk"): {"m": "M", "k": "F"},
    frozenset("mw"): {"m": "M", "w": "F"},
    frozenset("mf"): {"m": "M", "f": "F"},
    frozenset("mж"): {"m": "M", "ж": "F"},
}
#: Cells that say nothing, whatever the column.
MISSING = {
    *("", "n/a", "na", "nan", "none", "null", "nil", "#n/a", ".", "..", "n.a.", "n.a", "n. a."),
    *("#value!", "#ref!", "#div/0!", "#name?", "#null!", "#num!", "<na>", "nat", "k.a.", "k. a."),
    *("--", "---", "–", "—", "?", "??", "n.d.", "not available", "missing"),
}
#: Cells that say nothing in a column of numbers.
NO_NUMBER = {
    *(
        "-",
        "x",
        "unknown",
        "unk",
        "nd",
        "not done",
        "not tested",
        "refused",
        "unbekannt",
        "inconnu",
    ),
    *(
        "desconocido",
        "ukjent",
        "okänd",
        "onbekend",
        "不明",
        "未",
        "未検",
        "未実施",
        "なし",
        "to do",
    ),
    *("tbd", "fehlt", "keine angabe", "not applicable", "pending", "na na"),
}
#: Names that anonymisers and people without a name give: they say who nobody is.
PLACEHOLDERS = {
    *("anonymous", "anonymus", "anonym", "anon", "anonymized", "anonymised", "deidentified"),
    *(
        "deid",
        "unknown",
        "unnamed",
        "noname",
        "none",
        "null",
        "nan",
        "na",
        "test",
        "dummy",
        "removed",
    ),
    *(
        "xxx",
        "xxxx",
        "tbd",
        "nobody",
        "default",
        "patient",
        "subject",
        "person",
        "id",
        "匿名",
        "不明",
    ),
    *("unbekannt", "inconnu", "desconocido", "noid", "missing", "undefined", "phantom"),
}
