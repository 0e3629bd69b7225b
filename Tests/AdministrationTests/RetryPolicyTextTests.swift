import Model
import Testing

@testable import Administration

@Suite("Retry policies as people write them")
struct RetryPolicyTextTests {
    @Test(
        "a policy is read and written",
        arguments: [
            ("ladder", .ladder), ("exponential:5s:2h:2", .exponentialDefault),
            ("exponential:100ms:90s:3", .exponential(initial: 100, maximum: 90_000, multiplier: 3)),
            ("10s,1m,1500ms", .list([10_000, 10_000, 10_000, 60_000, 1_500])),
        ] as [(String, RetryPolicy)])
    func policies(text: String, policy: RetryPolicy) {
        #expect(RetryPolicyText.policy(text) == policy)
        #expect(RetryPolicyText.text(policy) == text)
    }

    @Test("the short form of an exponential one")
    func short() { #expect(RetryPolicyText.policy("exponential") == .exponentialDefault) }

    @Test("a list that is shorter than RocketMQ counts repeats its last delay")
    func shortList() { #expect(RetryPolicyText.text(.list([1_000, 2_000])) == "2s") }

    @Test(
        "what is no policy is refused",
        arguments: [
            "", "10", "10s,", ",", "10s,x", "exponential:", "exponential:1s:2s", "exponential:1s:2s:0", "Ladder",
        ])
    func refused(text: String) { #expect(RetryPolicyText.policy(text) == nil) }
}
