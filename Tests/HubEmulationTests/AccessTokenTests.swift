import Platform
import Testing

@testable import HubEmulation

@Suite("Shared access signatures")
struct AccessTokenTests {
    private let key = Array("0123456789abcdef0123456789abcdef".utf8)
    private let resource = "hub.example.test/devices/gw 1/modules/ota"
    /// Made by `printf '%s\n%s' SR SE | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | base64`.
    private let token =
        "SharedAccessSignature sr=hub.example.test%2Fdevices%2Fgw%201%2Fmodules%2Fota&sig=SIGNATURE&se=2000000000"

    private func signed() -> String {
        token.replacing(
            "SIGNATURE",
            with: PercentText.encode(
                Base64.encode(
                    MessageCode.sha256(
                        key: key, Array("hub.example.test%2Fdevices%2Fgw%201%2Fmodules%2Fota\n2000000000".utf8)))))
    }

    @Test("HMAC-SHA256 is that of RFC 4231, test case 2")
    func code() {
        let code = MessageCode.sha256(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8))
        #expect(Hex.encode(code) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    @Test("A token opens what it names with either key until it expires")
    func opens() throws {
        let token = try #require(AccessToken(signed()))
        #expect(token.problem(opening: resource, keys: [key], now: 1_999_999_999) == nil)
        #expect(token.problem(opening: resource, keys: [[1], key], now: 0) == nil)
        #expect(token.problem(opening: resource, keys: [key], now: 2_000_000_000) == "it expired 0 s ago")
        #expect(token.problem(opening: resource, keys: [[1]], now: 0) != nil)
        #expect(token.problem(opening: resource + "x", keys: [key], now: 0) != nil)
    }

    @Test(
        "What is no token is none",
        arguments: [
            "", "SharedAccessSignature ", "sr=a&sig=YQ%3D%3D&se=1", "SharedAccessSignature sr=a&sig=&se=1",
            "SharedAccessSignature sr=a&sig=YQ%3D%3D", "SharedAccessSignature sr=a&sig=YQ%3D%3D&se=x",
            "SharedAccessSignature sr=a&sr=b&sig=YQ%3D%3D&se=1", "SharedAccessSignature sr=a&sig=%Y&se=1",
        ])
    func noToken(text: String) {
        #expect(AccessToken(text) == nil)
    }
}
