"""Pages: one self-contained HTML file each, made of the files of a run or an evaluation."""
