// Package dashboards turns the topic into what people look at.
//
// It owns Board, Window and Finding. dashboards/feed reads Kafka into a Board, dashboards/detect says what is wrong, dashboards/web serves it.
package dashboards
