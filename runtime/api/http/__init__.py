"""HTTP below the routes: how a route is described and found, requests decoded, answers and errors sent."""
