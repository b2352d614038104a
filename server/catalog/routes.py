"""HTTP: the contract's paths about models and about the server."""

from server.admin.deps import Operator
from server.auth.deps import Anybody
from server.catalog.deps import Asker, Embedding, Models
from server.catalog.schemas import (
    Changed,
    ChangeModel,
    EmbedTexts,
    ModelConfig,
    ModelName,
    Nothing,
    ServerConfigs,
)
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Text

router = new_router(tags=["LLM Model Management"])


@router.post("/llm_model/list_running_models")
async def list_running_models(
    _caller: Asker, models: Models, _body: Nothing | None = None
) -> Envelope[dict[str, ModelConfig]]:
    """Models that can answer now."""
    return Envelope(data=await models.running())


@router.post("/llm_model/list_config_models")
async def list_config_models(
    _caller: Asker, models: Models, _body: Nothing | None = None
) -> Envelope[dict[str, ModelConfig]]:
    """Every model that `model_name` may name."""
    return Envelope(data=models.configured())


@router.post("/llm_model/get_model_config")
async def get_model_config(_caller: Asker, models: Models, body: ModelName) -> Envelope[ModelConfig]:
    """One of them."""
    return Envelope(data=models.config(body.model_name))


@router.post("/llm_model/stop")
async def stop(caller: Operator, models: Models, language: Lang, body: ModelName) -> Envelope[Changed]:
    """Stop a local model; it stays stopped until it is started again, or the server is."""
    changed = await models.stop(body.model_name, caller.actor)
    words = Text(f"已停止模型 {body.model_name}", f"stopped {body.model_name}")
    return Envelope(msg=words.in_language(language), data=changed)


@router.post("/llm_model/change")
async def change(caller: Operator, models: Models, language: Lang, body: ChangeModel) -> Envelope[Changed]:
    """Stop one model and start another, of those that are local; waits until it is ready, up to five minutes."""
    changed = await models.change(body.model_name, body.new_model_name, caller.actor)
    return Envelope(msg=_told(body, changed).in_language(language), data=changed)


def _told(body: ChangeModel, changed: Changed) -> Text:
    if changed.started:
        return Text(f"模型 {body.new_model_name} 已就绪", f"{body.new_model_name} is ready")
    return Text(
        f"{body.new_model_name} 不在本机运行，无需启动；请求里用 model_name 指定即可",
        f"{body.new_model_name} does not run on this machine and needs no start; name it as model_name",
    )


@router.post("/server/configs", tags=["Server State"])
async def configs(_caller: Anybody, models: Models) -> ServerConfigs:
    """Facts about this server; without an envelope, as the contract has it."""
    return models.server_configs()


@router.post("/other/embed_texts", tags=["Other"])
async def embed_texts(_caller: Embedding, models: Models, body: EmbedTexts) -> Envelope[list[list[float]]]:
    """Texts as unit vectors."""
    return Envelope(data=await models.embed(body.texts, body.embed_model, to_query=body.to_query))
