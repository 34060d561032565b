// Stub of the parts of SwiftUI that the app uses: enough for type checking, without behavior.
@_exported import CoreGraphics
@_exported import Foundation
@_exported import Observation
@MainActor @preconcurrency public protocol View { associatedtype Body: View; @ViewBuilder @MainActor var body: Body { get } }
extension Never: View { public var body: Never { fatalError() } }
public struct EmptyView: View { public init() {}; public var body: Never { fatalError() } }
public struct TupleView<T>: View { public var body: Never { fatalError() } }
public struct Conditional<A, B>: View { public var body: Never { fatalError() } }
extension Optional: View where Wrapped: View { public var body: Never { fatalError() } }
@resultBuilder public enum ViewBuilder {
    public static func buildBlock() -> EmptyView { EmptyView() }
    public static func buildBlock<C: View>(_ c: C) -> C { c }
    public static func buildBlock<each C: View>(_ c: repeat each C) -> TupleView<(repeat each C)> { fatalError() }
    public static func buildIf<C: View>(_ c: C?) -> C? { c }
    public static func buildEither<A: View, B: View>(first: A) -> Conditional<A, B> { fatalError() }
    public static func buildEither<A: View, B: View>(second: B) -> Conditional<A, B> { fatalError() }
    public static func buildExpression<C: View>(_ c: C) -> C { c }
}
public struct Any_: View { public init() {}; public var body: Never { fatalError() } }
@MainActor @preconcurrency public protocol App { associatedtype Body: Scene; @MainActor var body: Body { get }; @MainActor init() }
public extension App { static func main() {} }
@MainActor public protocol Scene {}
public struct WindowGroup<C: View>: Scene { public init(@ViewBuilder content: () -> C) {} }
@propertyWrapper public struct State<V> { public init(wrappedValue: V) {}; public var wrappedValue: V { get { fatalError() } nonmutating set {} }
    public var projectedValue: Binding<V> { fatalError() } }
extension State where V: ExpressibleByNilLiteral { public init() { fatalError() } }
public struct Binding<V> {}
@propertyWrapper public struct AppStorage<V: RawRepresentable> where V.RawValue == String { public init(wrappedValue: V, _ key: String) {}; public var wrappedValue: V { get { fatalError() } nonmutating set {} }; public var projectedValue: Binding<V> { fatalError() } }
public enum ScenePhase { case active, inactive, background }
public enum UserInterfaceSizeClass { case compact, regular }
public enum ColorSchemeContrast { case standard, increased }
public struct OpenURLAction { @MainActor public func callAsFunction(_ u: URL) {} }
public struct EnvironmentValues { public var scenePhase: ScenePhase { .active }; public var verticalSizeClass: UserInterfaceSizeClass? { nil }; public var colorSchemeContrast: ColorSchemeContrast { .standard }; public var accessibilityReduceMotion: Bool { false }; public var openURL: OpenURLAction { OpenURLAction() } }
@propertyWrapper public struct Environment<V> { public init(_ k: KeyPath<EnvironmentValues, V>) {}; public var wrappedValue: V { fatalError() } }
public struct LocalizedStringKey: ExpressibleByStringInterpolation, Equatable { public init(stringLiteral s: String) {} }
public struct Text: View { public init(_ k: LocalizedStringKey) {}; public init(verbatim: String) {}; public init<F: FormatStyle>(_ v: F.FormatInput, format: F) where F.FormatInput: Equatable, F.FormatOutput == String {}; public var body: Never { fatalError() } }
public struct Image: View { public init(systemName: String) {}; public init(_ i: CGImage, scale: CGFloat, label: Text) {}; public func resizable() -> Image { self }; public var body: Never { fatalError() } }
public struct Label<T, I>: View { public var body: Never { fatalError() } }
public extension Label where T == Text, I == Image { init(_ k: LocalizedStringKey, systemImage: String) {} }
public enum ButtonRole { case destructive }
public struct Button<L: View>: View { public init(action: @escaping @MainActor () -> Void, @ViewBuilder label: () -> L) {}; public var body: Never { fatalError() } }
public extension Button where L == Text { init(_ k: LocalizedStringKey, action: @escaping @MainActor () -> Void) {} }
public extension Button where L == Label<Text, Image> { init(_ k: LocalizedStringKey, systemImage: String, action: @escaping @MainActor () -> Void) {}; init(_ k: LocalizedStringKey, systemImage: String, role: ButtonRole?, action: @escaping @MainActor () -> Void) {} }
public enum HorizontalAlignment { case leading, center, trailing }
public enum Alignment { case bottom, topTrailing, leading, center }
public struct VStack<C: View>: View { public init(alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct HStack<C: View>: View { public init(spacing: CGFloat? = nil, @ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct ZStack<C: View>: View { public init(@ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct Grid<C: View>: View { public init(alignment: Alignment = .center, horizontalSpacing: CGFloat? = nil, verticalSpacing: CGFloat? = nil, @ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct GridRow<C: View>: View { public init(@ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct ForEach<D, ID, C: View>: View { public init(_ d: D, id: KeyPath<D.Element, ID>, @ViewBuilder content: @escaping (D.Element) -> C) where D: RandomAccessCollection {}; public var body: Never { fatalError() } }
public struct ProgressView: View { public init(value: Double?) {}; public var body: Never { fatalError() } }
public protocol Layout_ {}
public struct HStackLayout: Layout_ { public init(spacing: CGFloat? = nil) {} }
public struct VStackLayout: Layout_ { public init(spacing: CGFloat? = nil) {} }
public struct AnyLayout { public init(_ l: some Layout_) {}; @MainActor public func callAsFunction<C: View>(@ViewBuilder _ c: () -> C) -> some View { Any_() } }
public struct GeometryProxy { public var size: CGSize { .zero } }
public struct GeometryReader<C: View>: View { public init(@ViewBuilder content: @escaping (GeometryProxy) -> C) {}; public var body: Never { fatalError() } }
public struct GraphicsContext { public struct Shading { public static func color(white: Double, opacity: Double = 1) -> Shading { Shading() } }
    public mutating func scaleBy(x: CGFloat, y: CGFloat) {}; public func stroke(_ p: Path, with: Shading, style: StrokeStyle) {} }
public struct Canvas: View { public init(renderer: @escaping (inout GraphicsContext, CGSize) -> Void) {}; public var body: Never { fatalError() } }
public struct StrokeStyle { public init(lineWidth: CGFloat = 1, lineCap: CGLineCap = .round, lineJoin: CGLineJoin = .round) {} }
public struct FillStyle { public init(eoFill: Bool) {} }
public struct Path: Shape { public init(_ p: CGPath) {}; public init(_ f: (inout Path) -> Void) {}; public init(roundedRect: CGRect, cornerRadius: CGFloat) {}; public mutating func addRect(_ r: CGRect) {}; public var body: Never { fatalError() } }
public protocol ShapeStyle {}
public protocol Shape: View {}
public extension Shape { func fill<S: ShapeStyle>(_ s: S, style: FillStyle) -> some View { Any_() }; func stroke<S: ShapeStyle>(_ s: S, lineWidth: CGFloat) -> some View { Any_() } }
public struct Color: ShapeStyle, View { public init(white: Double) {}; public static let black = Color(white: 0); public static let white = Color(white: 1); public static let accentColor = Color(white: 0); public func opacity(_ o: Double) -> Color { self }; public var body: Never { fatalError() } }
public extension ShapeStyle where Self == Color { static var black: Color { Color.black }; static var white: Color { Color.white } }
public struct Material: ShapeStyle {}
public extension ShapeStyle where Self == Material { static var regularMaterial: Material { Material() } }
public struct Hier: ShapeStyle {}
public extension ShapeStyle where Self == Hier { static var secondary: Hier { Hier() }; static var separator: Hier { Hier() } }
public struct RoundedRectangle: Shape { public init(cornerRadius: CGFloat) {}; public func strokeBorder<S: ShapeStyle>(_ s: S) -> some View { Any_() }; public var body: Never { fatalError() } }
public struct Circle: Shape { public init() {}; public var body: Never { fatalError() } }
public struct Rectangle: Shape { public init() {}; public var body: Never { fatalError() } }
public extension Shape where Self == Circle { static var circle: Circle { Circle() } }
public extension Shape where Self == Rectangle { static var rect: Rectangle { Rectangle() } }
public extension Shape where Self == RoundedRectangle { static func rect(cornerRadius: CGFloat) -> RoundedRectangle { RoundedRectangle(cornerRadius: cornerRadius) } }
public struct Font { public static let headline = Font(), largeTitle = Font(), title2 = Font(), title3 = Font(), callout = Font(), caption = Font(); public func bold() -> Font { self } }
public struct DragGesture { public struct Value { public var location: CGPoint { .zero } }; public init(minimumDistance: CGFloat) {}; @MainActor public func onChanged(_ f: @escaping @MainActor (Value) -> Void) -> DragGesture { self }; @MainActor public func onEnded(_ f: @escaping @MainActor (Value) -> Void) -> DragGesture { self } }
public struct Tab<V, C: View>: View { public init(_ k: LocalizedStringKey, systemImage: String, value: V, @ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct TabView<V, C: View>: View { public init(selection: Binding<V>, @ViewBuilder content: () -> C) {}; public var body: Never { fatalError() } }
public struct ContentUnavailableView<L: View, D: View, A: View>: View { public init(@ViewBuilder label: () -> L, @ViewBuilder description: () -> D, @ViewBuilder actions: () -> A) {}; public var body: Never { fatalError() } }
public extension ContentUnavailableView where L == Label<Text, Image>, D == Text?, A == EmptyView { init(_ k: LocalizedStringKey, systemImage: String, description: Text? = nil) {} }
public struct LabelStyle_ { public static let iconOnly = LabelStyle_() }
public struct ButtonStyle_ { public static let bordered = ButtonStyle_(), borderedProminent = ButtonStyle_() }
public enum TextAlignment { case center }
public enum ContentMode { case fit }
public struct AccessibilityTraits: OptionSet, Sendable { public let rawValue: Int; public init(rawValue: Int) { self.rawValue = rawValue }; public static let isSelected = AccessibilityTraits(rawValue: 1) }
public struct AccessibilityDirectTouchOptions: OptionSet, Sendable { public let rawValue: Int; public init(rawValue: Int) { self.rawValue = rawValue }; public static let requiresActivation = AccessibilityDirectTouchOptions(rawValue: 1) }
public enum AccessibilityChildBehavior { case ignore, combine }
public struct SensoryFeedback: Equatable, Sendable { public static let selection = SensoryFeedback() }
public struct Animation { public static let `default` = Animation() }
public enum Edge { public enum Set { case horizontal, all } }
public extension View {
    func task<T: Equatable>(id: T, @_inheritActorContext _ a: @escaping @Sendable () async -> Void) -> some View { self }
    func overlay<V: View>(_ v: V) -> some View { self }
    func overlay<V: View>(alignment: Alignment = .center, @ViewBuilder content: () -> V) -> some View { self }
    func background<S: ShapeStyle>(_ s: S) -> some View { self }
    func background<S: ShapeStyle, T: Shape>(_ s: S, in t: T) -> some View { self }
    func padding(_ e: Edge.Set = .all, _ l: CGFloat? = nil) -> some View { self }
    func font(_ f: Font?) -> some View { self }
    func foregroundStyle<S: ShapeStyle>(_ s: S) -> some View { self }
    func multilineTextAlignment(_ a: TextAlignment) -> some View { self }
    func frame(maxWidth: CGFloat? = nil, maxHeight: CGFloat? = nil) -> some View { self }
    func frame(minWidth: CGFloat, minHeight: CGFloat) -> some View { self }
    func lineLimit(_ n: Int?) -> some View { self }
    func minimumScaleFactor(_ f: CGFloat) -> some View { self }
    func monospacedDigit() -> some View { self }
    func gridColumnAlignment(_ a: HorizontalAlignment) -> some View { self }
    func accessibilityElement(children: AccessibilityChildBehavior = .ignore) -> some View { self }
    func accessibilityHidden(_ b: Bool) -> some View { self }
    func accessibilityLabel(_ k: LocalizedStringKey) -> some View { self }
    func accessibilityHint(_ k: LocalizedStringKey) -> some View { self }
    func accessibilityIdentifier(_ s: String) -> some View { self }
    func accessibilityAddTraits(_ t: AccessibilityTraits) -> some View { self }
    func accessibilityDirectTouch(_ b: Bool = true, options: AccessibilityDirectTouchOptions = []) -> some View { self }
    func sensoryFeedback<T: Equatable>(_ f: SensoryFeedback, trigger: T) -> some View { self }
    func onChange<V: Equatable>(of v: V, initial: Bool = false, _ a: @escaping (V, V) -> Void) -> some View { self }
    func animation<V: Equatable>(_ a: Animation?, value: V) -> some View { self }
    func labelStyle(_ s: LabelStyle_) -> some View { self }
    func buttonStyle(_ s: ButtonStyle_) -> some View { self }
    func disabled(_ b: Bool) -> some View { self }
    func layoutPriority(_ d: Double) -> some View { self }
    func contentShape<S: Shape>(_ s: S) -> some View { self }
    func clipShape<S: Shape>(_ s: S) -> some View { self }
    func gesture(_ g: DragGesture) -> some View { self }
    func aspectRatio(_ r: CGFloat?, contentMode: ContentMode) -> some View { self }
    func scaledToFit() -> some View { self }
    func ignoresSafeArea() -> some View { self }
    func allowsHitTesting(_ b: Bool) -> some View { self }
}
@MainActor public protocol UIViewRepresentable: View { associatedtype UIViewType; typealias Context = Int; func makeUIView(context: Context) -> UIViewType; func updateUIView(_ v: UIViewType, context: Context) }
public extension UIViewRepresentable { var body: Never { fatalError() } }
