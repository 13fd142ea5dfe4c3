"""Programs on the host: start them, exchange data through pipes, find, weigh and kill their processes."""
