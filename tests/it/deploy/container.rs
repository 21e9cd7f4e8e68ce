//! The image and the compose file, as far as they can be read without a container engine.

use std::collections::BTreeMap;
use std::path::Path;

use faregate::config::{self, Store};

use super::{path, text, toml, without_comments};

const CONFIG: &str = "deploy/compose/faregate.toml";

/// The services of the compose file: name and text of each.
fn services(compose: &str) -> BTreeMap<String, String> {
    let mut services: BTreeMap<String, String> = BTreeMap::new();
    let mut name = None;
    let block = compose.lines().skip_while(|line| *line != "services:").skip(1);
    for line in block.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        if let Some(key) = line.strip_prefix("  ").and_then(|l| l.strip_suffix(':'))
            && !key.starts_with(' ')
        {
            name = Some(key.to_owned());
        } else if let Some(name) = &name {
            let service = services.entry(name.clone()).or_default();
            service.push_str(line);
            service.push('\n');
        }
    }
    services
}

#[test]
fn the_image_is_built_for_shipping_and_does_not_run_as_root() {
    let dockerfile = without_comments(&text("deploy/Dockerfile"));
    let line = |start: &str| dockerfile.lines().rfind(|line| line.starts_with(start));
    let user = line("USER ").expect("a user");
    assert!(
        user[5..]
            .split(':')
            .all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)),
        "{user}"
    );
    assert!(dockerfile.contains("cargo build --locked --profile dist --bin faregate"));
    assert!(line("FROM ").is_some_and(|last| last.contains("distroless") && last.contains("nonroot")));
    assert!(line("CMD ").is_some_and(|cmd| cmd.contains("\"serve\"")));
    let manifest = toml("Cargo.toml");
    assert!(manifest["profile"].get("dist").is_some());
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let image = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("FROM rust:"))
        .unwrap();
    let (image, needed) = (
        image.split('-').next().unwrap(),
        manifest["package"]["rust-version"].as_str().unwrap(),
    );
    assert!(
        minor(image) >= minor(needed),
        "the image has Rust {image}, the package needs {needed}"
    );
}

#[test]
fn no_service_of_the_compose_file_can_do_more_than_it_needs() {
    let compose = without_comments(&text("deploy/compose.yaml"));
    let services = services(&compose);
    assert_eq!(
        services.keys().collect::<Vec<_>>(),
        ["faregate", "prometheus", "redis"]
    );
    for (name, service) in &services {
        for needed in [
            "read_only: true",
            "cap_drop: [ALL]",
            "no-new-privileges:true",
            "limits: {",
            "pids_limit:",
            "restart:",
        ] {
            assert!(service.contains(needed), "{name} has no `{needed}`");
        }
        let image = service
            .lines()
            .find_map(|line| line.trim().strip_prefix("image: "))
            .unwrap();
        assert!(
            image.contains(':') && !image.ends_with(":latest"),
            "{name}: {image} is no version"
        );
    }
    assert!(
        !services["redis"].contains("ports:"),
        "the ledger is for the gate alone"
    );
    assert!(
        services["faregate"].contains("\"127.0.0.1:9091:9091\""),
        "the admin API is for this machine alone"
    );
}

#[test]
fn every_file_that_the_compose_file_mounts_is_there_and_secrets_are_files() {
    let compose = without_comments(&text("deploy/compose.yaml"));
    let mounts = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./"));
    let mounts: Vec<&str> = mounts.map(|mount| mount.split(':').next().unwrap()).collect();
    assert!(mounts.len() >= 5, "{mounts:?}");
    for mount in mounts {
        assert!(path("deploy").join(mount).exists(), "deploy/{mount} is not there");
    }
    let secrets = compose.split("\nsecrets:\n").nth(1).expect("secrets");
    for file in secrets
        .lines()
        .filter_map(|line| line.trim().strip_prefix("file: "))
    {
        assert!(file.starts_with("./compose/secrets/"), "{file}");
    }
    assert!(
        text(".gitignore")
            .lines()
            .any(|line| line == "/deploy/compose/secrets")
    );
    assert!(
        text("deploy/Dockerfile.dockerignore")
            .lines()
            .any(|line| line == "deploy/compose/secrets")
    );
}

#[test]
fn the_gate_takes_the_configuration_of_the_compose_file() {
    let secret = |path: &Path| {
        assert!(path.starts_with("/run/secrets/"), "{}", path.display());
        Ok(b"0123456789abcdef0123456789abcdef\n".to_vec())
    };
    let config = config::parse(&text(CONFIG), &|_| None, &secret);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(matches!(config.ledger.store, Store::Redis(_)));
    assert_eq!(config.admin.tokens.len(), 1);
    let compose = text("deploy/compose.yaml");
    for name in ["admin_token", "redis_password"] {
        assert!(text(CONFIG).contains(&format!("file:/run/secrets/{name}")));
        assert!(
            compose.contains(&format!("  {name}:\n    file: ./compose/secrets/{name}")),
            "no secret {name}"
        );
    }
}

#[test]
fn the_folder_that_redis_conf_names_is_there_in_the_container() {
    // Redis goes there as it reads the line, and ends if it cannot: also where the command line says another folder afterwards.
    let conf = text("deploy/redis.conf");
    let folder = conf
        .lines()
        .find_map(|line| line.strip_prefix("dir "))
        .expect("a folder");
    let redis = &services(&without_comments(&text("deploy/compose.yaml")))["redis"];
    let mounts: Vec<&str> = redis
        .lines()
        .skip_while(|line| line.trim() != "tmpfs:")
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("- "))
        .collect();
    assert!(
        mounts.contains(&folder),
        "the image has no {folder}; tmpfs: {mounts:?}"
    );
}
