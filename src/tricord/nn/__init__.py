"""Pure maths: no I/O, no configuration objects, no data set names; K and c are arguments."""
