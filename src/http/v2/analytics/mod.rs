//! What an account's history says. docs/ANALYTICS.md has what each number is made of.

mod account;
mod crowd;
mod figures;
mod growth;
mod habits;
mod post;
mod reel;
mod unusual;
mod window;

pub(in crate::http) use account::{__path_analytics, analytics};
pub(in crate::http) use post::{__path_analytics_posts, analytics_posts};
pub(in crate::http) use reel::{__path_curve, __path_velocity, curve, velocity};
