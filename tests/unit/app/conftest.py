"""A service with two quick instruments, and one forged picture examined by it."""

from __future__ import annotations

import pytest

from app import handlers
from app.service import Service, ServiceLimits
from app.views import PictureView
from fakeexplain.examiner import Settings
from tests.pictures import copy_move, encode, photograph

QUICK = Settings(instruments=("copy_move", "metadata"), expert=None)


@pytest.fixture(scope="package")
def forged_png() -> bytes:
    return encode(copy_move(photograph("astronaut"))[0])


@pytest.fixture(scope="package")
def service(tmp_path_factory):
    with Service(
        QUICK,
        ServiceLimits(workers=1),
        cases=tmp_path_factory.mktemp("cases"),
        folder=tmp_path_factory.mktemp("private"),
    ) as made:
        yield made


@pytest.fixture(scope="package")
def examined(service: Service, forged_png: bytes) -> PictureView:
    return handlers.examine(service, forged_png, "forged.png")
