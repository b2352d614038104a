"""Imports every feature's tables, so that the metadata is complete for migrations and tests."""

from server.auth import models as auth_models
from server.chat import models as chat_models
from server.db.base import Base
from server.evaluation import models as evaluation_models
from server.kb import models as kb_models

__all__ = ["Base", "auth_models", "chat_models", "evaluation_models", "kb_models"]
