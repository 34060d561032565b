import SwiftUI

@main
struct RecognizerApp: App {
    @State private var model = CameraModel()

    var body: some Scene {
        WindowGroup {
            CameraScreen(model: model)
        }
    }
}
