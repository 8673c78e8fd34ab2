"""`/admin/bundles`: what is served, changed without a restart, by administrators only.

Does not load models; `bundles` does.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from anymal.protocol.requests import BundleRequest
from anymal.protocol.responses import BundleCard, BundleList, ErrorBody
from server.routes.dependencies import administrator
from server.routes.json_body import JsonRoute
from server.routes.openai import ERRORS
from server.served.bundles import Bundles


def _bundles(request: Request) -> Bundles:
    bundles: Bundles = request.app.state.bundles
    return bundles


TheBundles = Annotated[Bundles, Depends(_bundles)]

router = APIRouter(
    prefix="/admin/bundles", dependencies=[Depends(administrator)], route_class=JsonRoute
)


@router.get("", responses=ERRORS)
async def list_bundles(bundles: TheBundles) -> BundleList:
    """What is served, the default first."""
    return BundleList(data=bundles.cards())


@router.post("", responses={**ERRORS, 409: {"model": ErrorBody}})
async def add_bundle(body: BundleRequest, bundles: TheBundles) -> BundleCard:
    """Load a bundle and serve it; answers once it is served.

    It replaces a served bundle of the same name, whose running answers finish.
    """
    return await bundles.add(body.folder, body.name)


@router.delete("/{name}", status_code=204, responses={**ERRORS, 409: {"model": ErrorBody}})
async def remove_bundle(name: Annotated[str, Path()], bundles: TheBundles) -> None:
    """Stop serving a bundle; its running answers finish.

    The last bundle cannot be removed: stop the service instead.
    """
    bundles.remove(name)
