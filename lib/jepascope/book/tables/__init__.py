"""What the chapters' tables show: results in, frames of readable strings out. `common` holds what several share."""
