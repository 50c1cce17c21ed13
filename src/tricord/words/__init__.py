"""Words: what is said in a clip, and what turns it into a track of features."""
