"""The stored schema equals the code, and a stale one stops with the command that renews it."""

import difflib
import json

import jsonschema
import pytest
import yaml

from heldout.errors import HeldoutError
from heldout.planning import identity, schema, schema_from_code
from tests.conftest import REPOSITORY


def test_the_stored_schema_is_todays():
    stored = schema.PATH.read_text(encoding="utf-8")
    difference = difflib.unified_diff(
        stored.splitlines(), schema_from_code.text().splitlines(), "stored", "today", lineterm=""
    )
    assert not list(difference), f"renew it with: {schema.RENEW}"


def test_config_yaml_fits_the_schema_for_editors():
    stored = json.loads(schema.PATH.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(stored)
    experiment = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    validator.validate(experiment)
    variant = {"method": "adgan", "steps": 1}
    validator.validate(experiment | {"methods": {"adgan-k1": variant}})
    for wrong in ({"methods": {"x": variant | {"stepz": 1}}}, {"methods": {"adgan": {"steps": -1}}}, {"sedes": [0]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(experiment | wrong)


def stored_after(change, tmp_path, monkeypatch):
    content = json.loads(schema.PATH.read_text(encoding="utf-8"))
    change(content[schema.PLUGINS]["method"])
    path = tmp_path / "config.schema.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(schema, "PATH", path)
    return schema.stored.__wrapped__


def test_an_edited_plugin_makes_the_schema_stale(tmp_path, monkeypatch):
    stored = stored_after(lambda methods: methods["adgan"].update(source="0" * 12), tmp_path, monkeypatch)
    with pytest.raises(HeldoutError, match=r"methods/adgan.py is newer than .*; renew it with: heldout schema"):
        stored()


def test_a_new_plugin_makes_the_schema_stale(tmp_path, monkeypatch):
    stored = stored_after(lambda methods: methods.pop("adgan"), tmp_path, monkeypatch)
    with pytest.raises(HeldoutError, match="the method 'adgan' is not in .*; renew it with: heldout schema"):
        stored()


def test_a_change_of_what_all_parameters_share_makes_the_schema_stale(tmp_path, monkeypatch):
    content = json.loads(schema.PATH.read_text(encoding="utf-8"))
    content[schema.SHARED]["registry"] = "0" * 12
    (tmp_path / "config.schema.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(schema, "PATH", tmp_path / "config.schema.json")
    with pytest.raises(
        HeldoutError, match=r"registry.py is newer than config.schema.json; renew it with: heldout schema"
    ):
        schema.stored.__wrapped__()


def test_hidden_modules_are_no_plugins():
    assert identity.module_file("heldout.models._updates").is_file()
    assert "_updates" not in schema.plugins("model")
