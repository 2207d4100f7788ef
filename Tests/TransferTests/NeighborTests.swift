import Testing
import Transfer

@Suite("Files beside a location")
struct NeighborTests {
    @Test(
        "A neighbor is in the same directory, on the same server, with the same query",
        arguments: [
            ("/media/usb/r2.kedge", "/media/usb/root.2.json"), ("r2.kedge", "root.2.json"),
            ("dir/r2.kedge", "dir/root.2.json"), ("file:///a/r2.kedge", "file:///a/root.2.json"),
            ("https://host/r2.kedge", "https://host/root.2.json"), ("https://host", "https://host/root.2.json"),
            ("https://host?x=1", "https://host/root.2.json?x=1"),
            ("https://u:p@host:1/a/r2.kedge?sig=a/b#part", "https://u:p@host:1/a/root.2.json?sig=a/b"),
            ("a?b/c#d/e", "a?b/c#d/root.2.json"), ("dir://odd/x", "dir://odd/root.2.json"),
        ])
    func neighbor(location: String, expected: String) {
        #expect(BundleLocation.neighbor(of: location, named: "root.2.json") == expected)
    }

    @Test(
        "A directory is named with or without its last slash",
        arguments: [
            ("/media/usb", "/media/usb/root.2.json"), ("/media/usb/", "/media/usb/root.2.json"), (".", "./root.2.json"),
            ("https://host/a?x=1", "https://host/a/root.2.json?x=1"), ("https://host/a/", "https://host/a/root.2.json"),
            ("https://host", "https://host/root.2.json"),
        ])
    func inside(location: String, expected: String) {
        #expect(BundleLocation.inside(location, named: "root.2.json") == expected)
    }

    @Test(
        "The last word of a path is its name",
        arguments: [
            ("https://host/a/b.kedge?x=/1", "b.kedge"), ("/a/b", "b"), ("b", "b"), ("/a/", ""), ("https://host", ""),
        ])
    func name(location: String, expected: String) {
        #expect(BundleLocation.lastName(of: location) == expected)
    }
}
