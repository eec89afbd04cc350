"""Renders the cards of the shipped models anew, after a change of the template: `python docs/render_cards.py`."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the checkout need not be installed

from fer_hub.hub import card
from fer_hub.hub.locate import DEFAULT_MODEL, SHIPPED

for folder in sorted(path for path in SHIPPED.iterdir() if path.is_dir()):
    results, record = (json.loads((folder / name).read_text()) for name in ("results.json", "train_config.json"))
    (folder / "README.md").write_text(card.render(results, record))
    if folder.name == DEFAULT_MODEL:
        figures = (folder / "figures").relative_to(ROOT).as_posix()
        (ROOT / "model_card.md").write_text(card.render(results, record, figures))
