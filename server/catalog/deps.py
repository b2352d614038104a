"""What the routes of the models take from the application, and who may embed."""

from typing import Annotated, cast

from fastapi import Depends, Request

from server.auth.deps import Needs
from server.auth.principal import Principal, Scope
from server.catalog.service import Catalog
from server.core.errors import Forbidden
from server.core.i18n import Text


class NeedsAny(Needs):
    """Requires a caller with at least one of some scopes; 403 without."""

    def __init__(self, *scopes: Scope) -> None:
        super().__init__(None)
        self.scopes = scopes

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        caller = await super().__call__(request)
        if not any(caller.may(scope) for scope in self.scopes):
            zh, en = "、".join(self.scopes), " or ".join(self.scopes)
            raise Forbidden(
                Text(f"没有权限：此操作需要 {zh} 之一", f"not allowed: this needs the scope {en}")
            )
        return caller


async def _catalog(request: Request) -> Catalog:
    return cast("Catalog", request.app.state.catalog)


# Who operates models must see which there are.
Asker = Annotated[Principal, Depends(NeedsAny(Scope.CHAT, Scope.ADMIN))]
Embedding = Annotated[Principal, Depends(NeedsAny(Scope.CHAT, Scope.KB_READ))]
Models = Annotated[Catalog, Depends(_catalog)]
