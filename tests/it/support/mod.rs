//! What the tests and the benchmark of deliveries share. It must not hold a test of tickcast's
//! behaviour.

pub mod audit;
pub mod avro_file;
pub mod broker;
pub mod certificates;
pub mod cluster;
pub mod kafka;
pub mod mosquitto;
pub mod nodes;
pub mod peers;
pub mod pipeline;
pub mod post;
pub mod process;
pub mod readings;
pub mod registry;
pub mod secure_broker;
pub mod tokens;
pub mod wait;
