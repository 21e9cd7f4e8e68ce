use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn no_files(_: &std::path::Path) -> std::io::Result<Vec<u8>> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn read(text: &str) -> Result<Config, Problems> {
    parse(text, &no_env, &no_files)
}

#[test]
fn the_shipped_file_needs_no_environment() {
    let config = read(SHIPPED).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.routes.len(), 4);
    assert!(config.admin.tokens.is_empty());
}
