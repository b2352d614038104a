"""A chat2llm of old: its SQLite database with the tables of the contract (§3), and its folder of files."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from Crypto.PublicKey import RSA

from server.auth.api_token import private_pem, public_pem

_TABLES = """
CREATE TABLE client (id INTEGER PRIMARY KEY AUTOINCREMENT, client_key VARCHAR(2048), client_secret VARCHAR(2048),
    description VARCHAR(100), enable BOOLEAN, create_time DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE user (client_id VARCHAR(32), user_id VARCHAR(64), username VARCHAR(50), enable BOOLEAN,
    create_time DATETIME DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (client_id, user_id));
CREATE TABLE chat_session (id VARCHAR(32) PRIMARY KEY, client_id VARCHAR(32), user_id VARCHAR(64), mode VARCHAR(20),
    session_name VARCHAR(20), param JSON, create_time DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE chat_history (id VARCHAR(32) PRIMARY KEY, chat_type VARCHAR(50), query VARCHAR(4096), response VARCHAR(4096),
    session_id VARCHAR(32), docs JSON, meta_data JSON, feedback_score INTEGER, feedback_reason VARCHAR(255),
    create_time DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE knowledge_base (id INTEGER PRIMARY KEY AUTOINCREMENT, kb_name VARCHAR(50), kb_zh_name VARCHAR(50),
    kb_info VARCHAR(200), vs_type VARCHAR(50), embed_model VARCHAR(50), file_count INTEGER,
    create_time DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE knowledge_file (id INTEGER PRIMARY KEY AUTOINCREMENT, file_name VARCHAR(255), file_ext VARCHAR(10),
    kb_name VARCHAR(50), document_loader_name VARCHAR(50), text_splitter_name VARCHAR(50), file_version INTEGER,
    file_mtime FLOAT, file_size INTEGER, custom_docs BOOLEAN, docs_count INTEGER,
    create_time DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE file_doc (id INTEGER PRIMARY KEY AUTOINCREMENT, kb_name VARCHAR(50), file_name VARCHAR(255),
    doc_id VARCHAR(50), meta_data JSON);
CREATE TABLE question (id INTEGER PRIMARY KEY AUTOINCREMENT, query VARCHAR(200), kb_name VARCHAR(50),
    answer VARCHAR(2048), tap_count INTEGER, enable BOOLEAN, create_time DATETIME DEFAULT CURRENT_TIMESTAMP);
"""
TIME = "2024-02-21 08:30:00"
SESSION, OTHER_SESSION = "a" * 32, "b" * 32
PARAM = {"model_name": "zhipu-api", "history_count": 5, "knowledge_base_name": "制度", "score_threshold": 1}


class OldInstallation:
    """`info.db` and the folders beside it."""

    def __init__(self, folder: Path, weak_key: RSA.RsaKey, strong_key: RSA.RsaKey) -> None:
        folder.mkdir(parents=True)
        self.folder, self.path = folder, folder / "info.db"
        self.weak_key = weak_key
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executescript(_TABLES)
        self.add("client", id=0, client_key="x", client_secret="y", description="默认客户端", enable=1)
        self.add_client(1, weak_key, description="企业微信")
        self.add_client(2, strong_key, description="办公门户", enable=0)
        self.add("client", id=3, client_key="broken", client_secret="broken", description="坏的", enable=1)
        self.add("user", client_id="1", user_id="zhang3", username="张三", enable=1)
        self.add("user", client_id="1", user_id="li4", username="李四", enable=0)
        self.add("user", client_id="0", user_id="192.168.1.7", username="192.168.1.7", enable=1)
        self.add("user", client_id="9", user_id="nobody", username="无主", enable=1)
        doubled = json.dumps(json.dumps(PARAM, ensure_ascii=False), ensure_ascii=False)
        for session, user in ((SESSION, "zhang3"), (OTHER_SESSION, "li4")):
            self.add(
                "chat_session",
                id=session,
                client_id="1",
                user_id=user,
                mode="Knowledge",
                session_name="年假怎么休",
                param=doubled,
            )
        docs = json.dumps(["出处 [1] [手册.txt](http://x/) \\n\\n年假五天。\\n\\n"], ensure_ascii=False)
        for number in range(3):  # within one second, as they were
            self.add(
                "chat_history",
                id=f"{2 - number}" * 32,
                chat_type="knowledge_base_chat",
                query=f"第{number}问",
                response="" if number == 2 else f"第{number}答" + "长" * 5000,
                session_id=SESSION,
                docs=docs,
                meta_data="{}",
                feedback_score=80 if number == 0 else -1,
                feedback_reason="有用" if number == 0 else "",
            )
        self.add(
            "chat_history",
            id="f" * 32,
            chat_type="llm_chat",
            query="谁的",
            response="没人的",
            session_id=None,
        )
        self.add(
            "knowledge_base",
            kb_name="制度",
            kb_zh_name="公司制度",
            kb_info="各种制度",
            vs_type="faiss",
            embed_model="m3e-base",
        )
        self.add(
            "knowledge_base",
            kb_name="../坏",
            kb_zh_name="坏",
            kb_info="",
            vs_type="faiss",
            embed_model="m3e-base",
        )
        self.add_file("制度", "手册.txt", "年假五天，病假三天。".encode("gb18030"))
        self.add_file("制度", "2024/补充.md", "# 假期\n\n婚假十天。".encode())
        self.add("knowledge_file", file_name="没了.txt", file_ext=".txt", kb_name="制度", custom_docs=0)
        self.add_file("制度", "照片.heic", b"\x89PNG\r\n")
        self.add("question", query="年假有几天？", kb_name="制度", answer="五天", tap_count=7, enable=1)
        self.add("question", query="你好", kb_name=None, answer=None, tap_count=0, enable=0)
        self.add("question", query="哪里的？", kb_name="没有的", answer=None, tap_count=0, enable=1)

    def add(self, table: str, **values: Any) -> None:
        values = {"create_time": TIME, **values}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))

    def add_client(self, client_id: int, key: RSA.RsaKey, **values: Any) -> None:
        keys = {"client_key": public_pem(key), "client_secret": private_pem(key)}
        self.add("client", id=client_id, **{"enable": 1, **keys, **values})

    def add_file(self, kb: str, name: str, content: bytes) -> None:
        path = self.folder / kb / "content" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.add(
            "knowledge_file",
            file_name=name,
            file_ext=path.suffix,
            kb_name=kb,
            file_size=len(content),
            custom_docs=0,
        )
