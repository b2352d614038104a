"""chat2llm: a knowledge-base RAG server with RSA client tokens."""

VERSION = "0.1.0"
