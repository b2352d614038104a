"""HTTP: how a knowledge base is searched."""

from server.auth.deps import Editor
from server.core.http import Envelope, new_router
from server.kb.deps import KB
from server.kb.tuning import Tuned
from server.kb.tuning_schemas import Calibrate, CalibrationOut, RetrievalOut, UpdateRetrieval

router = new_router(tags=["Knowledge Base Management"])


@router.get("/knowledge_base/retrieval")
async def get_retrieval(caller: Editor, kb: KB, knowledge_base_name: str) -> Envelope[RetrievalOut]:
    """How it is searched, and what it was calibrated to."""
    return Envelope(data=_out(await kb.tuning.get(caller, knowledge_base_name)))


@router.post("/knowledge_base/update_retrieval")
async def update_retrieval(caller: Editor, kb: KB, body: UpdateRetrieval) -> Envelope[RetrievalOut]:
    """Change how it is searched, from the next question on."""
    changes = body.model_dump(exclude_unset=True, exclude={"knowledge_base_name"})
    return Envelope(data=_out(await kb.tuning.change(caller, body.knowledge_base_name, changes)))


@router.post("/knowledge_base/calibrate")
async def calibrate(caller: Editor, kb: KB, body: Calibrate) -> Envelope[CalibrationOut]:
    """Measure from its own passages what counts as found, and keep it. Answers when it is done, after a minute or so."""
    kept = await kb.calibrator.calibrate(caller, body.knowledge_base_name, body.count)
    return Envelope(data=CalibrationOut.model_validate(kept))


def _out(tuned: Tuned) -> RetrievalOut:
    kept = tuned.calibration
    return RetrievalOut(
        own=tuned.own,
        effective=tuned.effective,
        rerankers=tuned.rerankers,
        calibration=CalibrationOut.model_validate(kept) if kept else None,
        is_calibrated=tuned.is_calibrated,
    )
