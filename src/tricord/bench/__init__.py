"""Speed: what training, prediction and loading cost here, against what this machine can do."""
