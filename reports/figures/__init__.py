"""Charts: functions from a data frame to a plotly Figure. No I/O, no HTML; colours are for light paper."""
