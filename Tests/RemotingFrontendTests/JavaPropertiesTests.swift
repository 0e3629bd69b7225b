@testable import RemotingFrontend
import Testing

@Suite("Java properties")
struct JavaPropertiesTests {
    @Test(
        "one line, one setting",
        arguments: [
            ("a=b", "a", "b"), ("a:b", "a", "b"), ("a b", "a", "b"), ("  a \t= b ", "a", "b "), ("a", "a", ""),
            ("a=", "a", ""), ("=b", "", "b"), ("a==b", "a", "=b"), ("a\\=b=c", "a=b", "c"),
            ("a=b\\nc\\u00fcd\\q", "a", "b\ncüdq"), ("a=b\\\n   c", "a", "bc"), ("a=b\\\\", "a", "b\\"),
            ("a=x\\u12", "a", "x12"), ("a=b\\", "a", "b"),
        ])
    func line(text: String, name: String, value: String) {
        let settings = JavaProperties.parse(text)
        #expect(settings.map(\.name) == [name])
        #expect(settings.map(\.value) == [value])
    }

    @Test("comments and empty lines are passed over, whatever ends a line")
    func comments() {
        let settings = JavaProperties.parse("# c\r\n\r\n  ! d\na=1\r\n\n b=2")
        #expect(settings.map(\.name) == ["a", "b"])
        #expect(settings.map(\.value) == ["1", "2"])
    }
}
