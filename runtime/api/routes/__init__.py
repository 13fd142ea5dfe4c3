"""Routes, a module a subject; `runtime.api.app` lists the modules."""
