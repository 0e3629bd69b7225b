import Testing

@testable import Server

@Suite("Properties file")
struct PropertiesFileTests {
    private func pairs(_ text: String) -> [String] {
        PropertiesFile(text).entries.map { "\($0.line):\($0.key)=\($0.value)" }
    }

    @Test("comments and blank lines are skipped, and lines are counted")
    func commentsAreSkipped() {
        #expect(pairs("# one\n\n  ! two\na=1\n\t# three\nb=2") == ["4:a=1", "6:b=2"])
    }

    @Test(
        "a key ends at the first equals sign, colon or space",
        arguments: [
            ("a=1", "a", "1"), ("a = 1 ", "a", "1"), ("a:1", "a", "1"), ("a 1", "a", "1"), ("a", "a", ""),
            ("a=b=c", "a", "b=c"), ("a = = c", "a", "= c"), ("a\\=b=c", "a=b", "c"), ("a\\ b=c", "a b", "c"),
            ("=x", "", "x"),
        ])
    func separators(line: String, key: String, value: String) {
        #expect(PropertiesFile(line).entries == [.init(key: key, value: value, line: 1)])
    }

    @Test("escapes stand for one character")
    func escapes() {
        #expect(pairs(#"p=C\:\\store\u0041\t."#) == ["1:p=C:\\storeA\t."])
        #expect(pairs(#"p=\u00"#) == ["1:p=u00"])
        #expect(pairs(#"p=\q"#) == ["1:p=q"])
    }

    @Test("a backslash at the end continues the line, two do not")
    func continuations() {
        #expect(pairs("a=1,\\\n   2,\\\n   3\nb=4") == ["1:a=1,2,3", "4:b=4"])
        #expect(pairs("a=1\\\\\nb=2") == ["1:a=1\\", "2:b=2"])
        #expect(pairs("a=1\\") == ["1:a=1"])
        #expect(pairs("a=1,\\\n# no comment here\nb=2") == ["1:a=1,# no comment here", "3:b=2"])
    }

    @Test("line ends of Windows are line ends")
    func carriageReturns() {
        #expect(pairs("a=1\r\nb=2\r\n") == ["1:a=1", "2:b=2"])
    }

    @Test("an empty file has no entries")
    func empty() { #expect(pairs("").isEmpty) }
}
