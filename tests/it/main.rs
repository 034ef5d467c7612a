//! The one test binary: a file a subject.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod private_postgres;
