/// A label that has been steady long enough to be shown.
public struct StableLabel: Equatable, Sendable {
    public let label: String
    /// The smoothed probability, from 0 to 1.
    public let confidence: Double

    public init(label: String, confidence: Double) {
        self.label = label
        self.confidence = confidence
    }
}

/// From each frame's labels to what is shown: label map, smoother and decision rule in a row.
public struct RecognitionTracker: Sendable {
    private let map: LabelMap
    private var smoother: ProbabilitySmoother
    private var rule: DecisionRule

    public init(configuration: RecognizerConfiguration) {
        map = LabelMap(classes: configuration.classes)
        smoother = ProbabilitySmoother(weight: configuration.thresholds.smoothing)
        rule = DecisionRule(
            thresholds: configuration.thresholds,
            background: configuration.background.flatMap(map.index(of:))
        )
    }

    /// Takes in what the model said of one frame; returns what to show now, or `nil` for nothing.
    public mutating func add(
        _ labels: some Sequence<(label: String, probability: Double)>
    ) throws -> StableLabel? {
        let smoothed = smoother.add(try map.probabilities(of: labels))
        return rule.decide(smoothed).map {
            StableLabel(label: map.classes[$0.index], confidence: $0.confidence)
        }
    }

    /// The most probable classes of late, smoothed as what is shown, most probable first.
    public var ranking: [StableLabel] {
        map.ranking(of: smoother.average)
    }

    /// Starts anew, as after a pause.
    public mutating func reset() {
        smoother.reset()
        rule.reset()
    }
}
