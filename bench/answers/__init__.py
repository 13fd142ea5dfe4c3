"""What a run answers, picked and worded for readers; the page and the terminal say the same from here."""
