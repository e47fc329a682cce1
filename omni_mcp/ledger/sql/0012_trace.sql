-- The trace that the submit was part of (W3C traceparent), so that its attempts are, too.

alter table payloads add column trace text;
