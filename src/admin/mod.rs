//! The admin address: health, metrics, configuration, endpoints, reload and drain over HTTP.
