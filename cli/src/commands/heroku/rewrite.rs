//! Addresses that the server answers for its streams and files name the server; Heroku's
//! command line is to ask the forwarder instead.

use serde_json::Value;

/// Fields that are always addresses of the server's own.
const OWN: [&str; 5] = ["logplex_url", "get_url", "put_url", "output_stream_url", "setup_stream_url"];

/// Makes all of them lead to `127.0.0.1:PORT`. Of a `git_url` nothing changes: remotes outlive
/// the forwarder.
pub(super) fn rewrite(value: &mut Value, port: u16) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, port)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if OWN.contains(&name.as_str()) => lead(text, "http", port),
                    Value::String(text) if name == "attach_url" => lead(text, "rendezvous", port),
                    // The way to a Redis through the API: the secret stays.
                    Value::String(text) if name == "resource_url" && text.starts_with("rediss://") => {
                        if let Some(at) = text.rfind('@') {
                            text.truncate(at);
                            text.push_str(&format!("@127.0.0.1:{port}"));
                        }
                    }
                    // A slug's bytes.
                    Value::Object(blob) if name == "blob" => {
                        if let Some(Value::String(text)) = blob.get_mut("url") {
                            lead(text, "http", port);
                        }
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => rewrite(value, port),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn lead(url: &mut String, scheme: &str, port: u16) {
    let Some((_, rest)) = url.split_once("://") else { return };
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    *url = format!("{scheme}://127.0.0.1:{port}{path}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses() {
        let mut value = json!([{
            "attach_url": "rendezvous://api.example.com/secret",
            "resource_url": "rediss://h:secret@api.example.com:443",
            "other": {"resource_url": "redis://:password@redis-1:6379"},
            "output_stream_url": "https://api.example.com:8443/streams/builds/1?expires=1",
            "blob": {"method": "PUT", "url": "http://localhost:5000/slugs/1/blob"},
            "source_blob": {"url": "https://github.com/me/app/tarball"},
            "logplex_url": null,
            "git_url": "https://api.example.com/app.git",
            "web_url": "https://app.example.com/",
        }]);
        rewrite(&mut value, 7);
        assert_eq!(
            value,
            json!([{
                "attach_url": "rendezvous://127.0.0.1:7/secret",
                "resource_url": "rediss://h:secret@127.0.0.1:7",
                "other": {"resource_url": "redis://:password@redis-1:6379"},
                "output_stream_url": "http://127.0.0.1:7/streams/builds/1?expires=1",
                "blob": {"method": "PUT", "url": "http://127.0.0.1:7/slugs/1/blob"},
                "source_blob": {"url": "https://github.com/me/app/tarball"},
                "logplex_url": null,
                "git_url": "https://api.example.com/app.git",
                "web_url": "https://app.example.com/",
            }])
        );
    }
}
