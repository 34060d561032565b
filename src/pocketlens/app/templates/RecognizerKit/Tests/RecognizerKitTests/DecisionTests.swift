import RecognizerKit
import Testing

@Suite struct DecisionTests {
    private let standard = Thresholds(
        show: 0.7, keep: 0.5, present: 0.5, margin: 0.2, hold: 3, smoothing: 0.3
    )
    private let clear = [0.9, 0.1]

    /// The index shown after each frame.
    private func shown(
        _ frames: [[Double]], by thresholds: Thresholds, background: Int? = nil
    ) -> [Int?] {
        var rule = DecisionRule(thresholds: thresholds, background: background)
        return frames.map { rule.decide($0)?.index }
    }

    @Test func labelIsShownAfterThreeClearFrames() {
        #expect(shown([clear, clear, clear, clear], by: standard) == [nil, nil, 0, 0])
    }

    @Test func unclearFrameRestartsTheCount() {
        let frames = [clear, clear, [0.6, 0.4], clear, clear, clear]
        #expect(shown(frames, by: standard) == [nil, nil, nil, nil, nil, 0])
    }

    @Test func shownLabelStaysAboveTheLowerThreshold() {
        let frames = [clear, clear, clear, [0.55, 0.45], [0.49, 0.51], [0.55, 0.45]]
        #expect(shown(frames, by: standard) == [nil, nil, 0, 0, nil, nil])
    }

    @Test func newLabelReplacesTheOldOneAfterThreeFrames() {
        let lasting = Thresholds(
            show: 0.7, keep: 0.1, present: 0.5, margin: 0.2, hold: 3, smoothing: 0.3
        )
        let other = [0.2, 0.8]
        let frames = [clear, clear, clear, other, other, other]
        #expect(shown(frames, by: lasting) == [nil, nil, 0, 0, 0, 1])
    }

    @Test func labelNeedsTheMargin() {
        let quick = Thresholds(
            show: 0.4, keep: 0.4, present: 0.5, margin: 0.2, hold: 1, smoothing: 1
        )
        #expect(shown([[0.5, 0.45, 0.05], [0.6, 0.35, 0.05]], by: quick) == [nil, 0])
    }

    @Test func backgroundIsNeverShown() {
        let wall = [0.01, 0.99]
        let answers = shown([wall, wall, wall, wall], by: standard, background: 1)
        #expect(answers == [nil, nil, nil, nil])
    }

    @Test func labelNeedsALowBackgroundProbability() {
        let strict = Thresholds(
            show: 0.5, keep: 0.3, present: 0.9, margin: 0.2, hold: 1, smoothing: 1
        )
        let frames = [[0.8, 0.0, 0.2], [0.6, 0.35, 0.05], [0.4, 0.0, 0.6]]
        #expect(shown(frames, by: strict, background: 2) == [nil, 0, 0])
        #expect(shown(frames, by: strict) == [0, 0, 0])
    }

    @Test func singleClassWorks() {
        #expect(shown([[1], [1], [1]], by: standard) == [nil, nil, 0])
    }

    @Test func emptyProbabilitiesHideTheLabel() {
        #expect(shown([clear, clear, clear, []], by: standard) == [nil, nil, 0, nil])
    }

    @Test func confidenceIsTheProbability() {
        var rule = DecisionRule(thresholds: standard, background: nil)
        _ = rule.decide(clear)
        _ = rule.decide(clear)
        let decision = rule.decide([0.8, 0.2])
        #expect(decision == DecisionRule.Decision(index: 0, confidence: 0.8))
    }

    @Test func resetHidesTheLabel() {
        var rule = DecisionRule(thresholds: standard, background: nil)
        for _ in 0..<3 { _ = rule.decide(clear) }
        rule.reset()
        let decision = rule.decide(clear)
        #expect(decision == nil)
    }
}

@Suite struct SmootherTests {
    @Test func firstFrameIsNotSmoothed() {
        var smoother = ProbabilitySmoother(weight: 0.3)
        let average = smoother.add([0.25, 0.75])
        #expect(average == [0.25, 0.75])
    }

    @Test func laterFramesAreWeighted() {
        var smoother = ProbabilitySmoother(weight: 0.25)
        let frames: [[Double]] = [[0, 1], [1, 0], [1, 0]]
        let averages = frames.map { smoother.add($0) }
        #expect(averages == [[0, 1], [0.25, 0.75], [0.4375, 0.5625]])
    }

    @Test func resetStartsANewAverage() {
        var smoother = ProbabilitySmoother(weight: 0.25)
        _ = smoother.add([0, 1])
        smoother.reset()
        let average = smoother.add([1, 0])
        #expect(average == [1, 0])
    }
}

@Suite struct TrackerTests {
    private let configuration = RecognizerConfiguration(
        name: "Test",
        model: "Recognizer",
        background: "nothing",
        thresholds: Thresholds(
            show: 0.7, keep: 0.5, present: 0.5, margin: 0.2, hold: 2, smoothing: 1
        ),
        input: InputSpec(height: 28, width: 28, color: .gray, crop: .centerCrop),
        classes: ["one", "two", "nothing"]
    )

    @Test func labelsCanBeInAnyOrder() throws {
        var tracker = RecognitionTracker(configuration: configuration)
        let frame = [
            (label: "nothing", probability: 0.05),
            (label: "two", probability: 0.9),
            (label: "one", probability: 0.05),
        ]
        let first = try tracker.add(frame)
        let second = try tracker.add(frame)
        #expect(first == nil)
        #expect(second == StableLabel(label: "two", confidence: 0.9))
    }

    @Test func backgroundHasNoLabel() throws {
        var tracker = RecognitionTracker(configuration: configuration)
        for _ in 0..<4 {
            let answer = try tracker.add([(label: "nothing", probability: 0.99)])
            #expect(answer == nil)
        }
    }

    @Test func rankingUsesTheAverage() throws {
        var tracker = RecognitionTracker(configuration: configuration)
        #expect(tracker.ranking.isEmpty)
        _ = try tracker.add([
            (label: "one", probability: 0.25), (label: "nothing", probability: 0.75),
        ])
        let expected = [
            StableLabel(label: "nothing", confidence: 0.75),
            StableLabel(label: "one", confidence: 0.25),
            StableLabel(label: "two", confidence: 0),
        ]
        #expect(tracker.ranking == expected)
        tracker.reset()
        #expect(tracker.ranking.isEmpty)
    }

    @Test func stillImageIgnoresHold() throws {
        let rule = StillRule(configuration: configuration)
        let answer = try rule.answer(to: [
            (label: "two", probability: 0.875), (label: "one", probability: 0.125),
        ])
        #expect(answer.label == StableLabel(label: "two", confidence: 0.875))
        #expect(answer.ranking.map { $0.label } == ["two", "one", "nothing"])
    }

    @Test func stillImageOfBackgroundHasNoLabel() throws {
        let rule = StillRule(configuration: configuration)
        let answer = try rule.answer(to: [(label: "nothing", probability: 0.99)])
        #expect(answer.label == nil)
        #expect(answer.isNothing)
        #expect(answer.ranking.first?.label == "nothing")
    }

    @Test func stillImageBelowTheThresholdIsNotSure() throws {
        let rule = StillRule(configuration: configuration)
        let answer = try rule.answer(to: [
            (label: "two", probability: 0.5), (label: "one", probability: 0.5),
        ])
        #expect(answer.label == nil)
        #expect(!answer.isNothing)
    }

    @Test func unknownLabelIsAnError() {
        #expect(throws: LabelError.unknown("three")) {
            var tracker = RecognitionTracker(configuration: configuration)
            _ = try tracker.add([(label: "three", probability: 0.9)])
        }
    }
}
