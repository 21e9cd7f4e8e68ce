//! Who is in `Cargo.lock`, held against `deny.toml` where no network is needed for it.

use super::toml;

#[test]
fn nothing_banned_is_built_in_and_all_comes_from_the_public_registry() {
    let deny = toml("deny.toml");
    let banned: Vec<&str> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["crate"].as_str().unwrap())
        .collect();
    assert!(banned.contains(&"openssl"), "{banned:?}");
    let allowed: Vec<String> = deny["sources"]["allow-registry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|url| format!("registry+{}", url.as_str().unwrap()))
        .collect();
    let lock = toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        assert!(!banned.contains(&name), "{name} is banned by deny.toml");
        let source = package.get("source").map(|source| source.as_str().unwrap());
        match source {
            None => assert_eq!(name, "faregate", "{name} has no source"),
            Some(source) => assert!(allowed.iter().any(|a| a == source), "{name} comes from {source}"),
        }
    }
}

#[test]
fn the_fuzz_package_is_in_a_workspace_of_its_own() {
    let fuzz = toml("fuzz/Cargo.toml");
    assert!(fuzz.get("workspace").is_some());
    assert_eq!(fuzz["dependencies"]["faregate"]["path"].as_str(), Some(".."));
}
