"""Names of a run on the user's own data."""

from __future__ import annotations

import pytest

from pocketlens.app import check_options
from pocketlens.naming import defaults, names_for_data
from pocketlens.recipe import load_recipe


@pytest.mark.parametrize(
    ("folder", "run", "model", "app"),
    [
        ("/x/my_photos", "my-photos", "MyPhotos", "My Photos"),
        ("/x/Zoo Tiere 2024", "zoo-tiere-2024", "ZooTiere2024", "Zoo Tiere 2024"),
        ("/x/Äpfel", "äpfel", "Äpfel", "Äpfel"),
        ("/x/猫", "猫", "猫", "猫"),
        ("/x/--", "photos", "Photos", "Photos"),
        ("/x/a.b.c", "a-b-c", "ABC", "A B C"),
    ],
)
def test_names_come_from_the_folder(folder: str, run: str, model: str, app: str) -> None:
    names = names_for_data(f"folder:{folder}", "photos", ["a", "b"])
    assert names["name"] == run
    assert (names["model.name"], names["app.name"]) == (model, app)
    assert names["model.description"] == "Tells apart: a and b."
    assert check_options(names["app.name"], names["app.bundle_id"], None) == []
    recipe = load_recipe("photos", names)
    assert recipe.name == run
    assert recipe.app.bundle_id.isascii()


def test_long_names_and_many_classes() -> None:
    names = names_for_data(f"folder:/x/{'ä' * 100}", "quick", [str(k) for k in range(9)])
    assert names["name"] == f"{'ä' * 60}-quick"
    assert names["model.description"] == "Tells apart: 0, 1, 2, 3, 4, 5 and 3 more."
    assert names["app.bundle_id"].startswith("org.example.a")
    assert names_for_data("folder:/x/y", "photos", [])["model.description"] == (
        "Recognizes what is in a photo."
    )


def test_a_csv_file_and_other_sources() -> None:
    assert names_for_data("csv:/x/leaves.csv", "photos", [])["model.name"] == "Leaves"
    assert names_for_data("mnist", "photos", []) == {}


def test_names_that_the_user_sets_stay() -> None:
    names = {"name": "a", "model.name": "A", "app.name": "A B"}
    assert defaults({"model": {"name": "Mine"}, "app.name": "Mine"}, names) == {"name": "a"}
