"""How chapters run and become pages: parameters, steps, claims, tables, staging, rendering, and editing them live."""
