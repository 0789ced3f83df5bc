//! Turns Shop resources into running shops.
