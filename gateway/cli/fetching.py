"""How commands fetch files: the hub's address and token from the settings, half downloads in the run folder."""

from __future__ import annotations

from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.progress import Progress
from gateway.artifacts.pull_order import DOWNLOADS
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.settings import Settings


def fetching_of(settings: Settings, choice: SourceChoice, progress: Progress) -> Fetching:
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    hub = HubAccess(endpoint=settings.hf_endpoint, token=token)
    return Fetching(staging=settings.run_folder / DOWNLOADS, choice=choice, hub=hub, progress=progress)
