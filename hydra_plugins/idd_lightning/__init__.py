"""The launcher and the sweepers of `train.py -m`. Modules whose name begins with _ are not scanned by Hydra."""
