//! The two ways to install.
