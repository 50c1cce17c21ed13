"""The paper's tables and figures: configuration, the numbers it prints, what may be concluded."""
