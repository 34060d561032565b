import Foundation

/// What `recognizer.json` says about the model beside it.
public struct RecognizerConfiguration: Codable, Equatable, Sendable {
    /// The app's name.
    public let name: String
    /// The name of the compiled model in the app's bundle, without `.mlmodelc`.
    public let model: String
    /// The class for which no label is shown; `nil` when the model has no such class.
    public let background: String?
    public let thresholds: Thresholds
    public let input: InputSpec
    /// The class names, in the order of the probabilities.
    public let classes: [String]

    public init(
        name: String,
        model: String,
        background: String?,
        thresholds: Thresholds,
        input: InputSpec,
        classes: [String]
    ) {
        self.name = name
        self.model = model
        self.background = background
        self.thresholds = thresholds
        self.input = input
        self.classes = classes
    }

    /// Decodes the contents of `recognizer.json` and checks that they make sense together.
    public init(json: Data) throws {
        self = try JSONDecoder().decode(RecognizerConfiguration.self, from: json)
        try validate()
    }

    private func validate() throws {
        if classes.isEmpty {
            throw ConfigurationError.noClasses
        }
        if Set(classes).count != classes.count {
            throw ConfigurationError.repeatedClass
        }
        if let background, !classes.contains(background) {
            throw ConfigurationError.unknownBackground(background)
        }
        if input.width < 1 || input.height < 1 {
            throw ConfigurationError.inputSize(width: input.width, height: input.height)
        }
        if !thresholds.areInRange {
            throw ConfigurationError.thresholds
        }
    }
}

/// When a label is shown. All but `hold` are numbers from 0 to 1.
public struct Thresholds: Codable, Equatable, Sendable {
    /// The smoothed probability that a new label must reach.
    public let show: Double
    /// The one below which a shown label goes.
    public let keep: Double
    /// How probable it must be, for a new label, that there is something at all: one less the
    /// smoothed probability of the background.
    public let present: Double
    /// How far a new label must lead the second.
    public let margin: Double
    /// For how many frames in a row a new label must do so.
    public let hold: Int
    /// The weight of the newest frame in the running average.
    public let smoothing: Double

    public init(
        show: Double, keep: Double, present: Double, margin: Double, hold: Int, smoothing: Double
    ) {
        self.show = show
        self.keep = keep
        self.present = present
        self.margin = margin
        self.hold = hold
        self.smoothing = smoothing
    }

    /// The same for a single picture: it is not smoothed, and need not hold.
    var forStills: Thresholds {
        Thresholds(
            show: show, keep: keep, present: present, margin: margin, hold: 1, smoothing: 1
        )
    }

    var areInRange: Bool {
        let range = 0.0...1.0
        return range.contains(show) && range.contains(keep) && range.contains(present)
            && range.contains(margin) && keep <= show && hold >= 1 && smoothing > 0 && smoothing <= 1
    }
}

/// The picture that the model eats. The model file holds `scale`, `bias` and the order of the
/// colors itself; the app needs the shape, the crop, and how to draw for it.
public struct InputSpec: Codable, Equatable, Sendable {
    public let height: Int
    public let width: Int
    public let color: Color
    public let crop: Crop
    public let ink: Ink

    public init(height: Int, width: Int, color: Color, crop: Crop, ink: Ink = .dark) {
        self.height = height
        self.width = width
        self.color = color
        self.crop = crop
        self.ink = ink
    }

    public enum Color: String, Codable, Sendable {
        case gray, rgb, bgr
    }
}

extension InputSpec {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        height = try values.decode(Int.self, forKey: .height)
        width = try values.decode(Int.self, forKey: .width)
        color = try values.decode(Color.self, forKey: .color)
        crop = try values.decode(Crop.self, forKey: .crop)
        // An older file does not tell.
        ink = try values.decodeIfPresent(Ink.self, forKey: .ink) ?? .dark
    }
}

/// How strokes lie on their ground in the pictures that the model has learned from.
public enum Ink: String, Codable, Sendable {
    /// Dark on light, as on paper.
    case dark
    /// Light on dark, as in MNIST.
    case light
}

/// How a picture of another shape is made to fit the model's input.
public enum Crop: String, Codable, Sendable {
    /// The largest centered part of the input's shape.
    case centerCrop = "center-crop"
    /// The whole picture, with black bars.
    case fit
    /// The whole picture, stretched.
    case fill
}

public enum ConfigurationError: Error, Equatable {
    case noClasses
    case repeatedClass
    case unknownBackground(String)
    case inputSize(width: Int, height: Int)
    case thresholds
}

extension ConfigurationError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case .noClasses:
            "recognizer.json names no classes."
        case .repeatedClass:
            "recognizer.json names a class twice."
        case .unknownBackground(let name):
            "The background class \(name) is not among the classes of recognizer.json."
        case .inputSize(let width, let height):
            "The input size \(width) × \(height) in recognizer.json is not a size."
        case .thresholds:
            "The thresholds in recognizer.json are out of range."
        }
    }
}
