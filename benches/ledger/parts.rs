//! What each part of a script costs Redis: a script loops over one part, the empty loop is taken off.

use crate::figures::Figure;
use crate::redis::{Reply, Server};
use std::io;

/// Name, statements before the loop, statement measured (`i` is the turn, `K` a table of keys).
const PARTS: &[(&str, &str, &str)] = &[
    ("empty loop", "", ""),
    ("call TIME", "", "call('TIME')"),
    ("call GET (200 B)", "call('SET','a',R200)", "call('GET','a')"),
    ("call SET (200 B)", "", "call('SET','a',R200)"),
    ("call SET (100 B)", "", "call('SET','a',R100)"),
    (
        "call MGET 2 keys",
        "call('SET','a',R200) call('SET','b',R50)",
        "call('MGET','a','b')",
    ),
    (
        "call MGET 3 keys",
        "call('SET','a',R200) call('SET','b',R50)",
        "call('MGET','a','b','none')",
    ),
    ("call MSET 2 keys (200+50 B)", "", "call('MSET','a',R200,'b',R50)"),
    (
        "call MSET 3 keys (200+50+60 B)",
        "",
        "call('MSET','a',R200,'b',R50,K[i%1000],R60)",
    ),
    (
        "call MGET 48 keys /16",
        "local m={'MGET'} for j=1,48 do m[j+1]=K[j] call('SET',K[j],R100) end",
        "if i%16==0 then call(unpack(m)) end",
    ),
    (
        "call MSET 48 keys (100 B) /16",
        "local m={'MSET'} for j=1,48 do m[2*j]=K[j] m[2*j+1]=R100 end",
        "if i%16==0 then call(unpack(m)) end",
    ),
    (
        "call HSETNX new (60 B)",
        "call('DEL','hh')",
        "call('HSETNX','hh',N..i,R60)",
    ),
    ("call HGET", "", "call('HGET','hh',N..i)"),
    ("call HSET over (60 B)", "", "call('HSET','hh',N..i,R60)"),
    (
        "call XADD 1 field (130 B)",
        "call('DEL','j')",
        "call('XADD','j',format('%d-0',i),'e',R130)",
    ),
    (
        "call XADD 0-* (130 B)",
        "call('DEL','j')",
        "call('XADD','j','0-*','e',R130)",
    ),
    (
        "call XADD 6 fields (20 B)",
        "call('DEL','j')",
        "call('XADD','j',format('%d-0',i),'a',R20,'b',R20,'c',R20,'d',R20,'e',R20,'f',R20)",
    ),
    ("call RPUSH (130 B)", "call('DEL','l')", "call('RPUSH','l',R130)"),
    ("sha1hex 50 B", "", "local h=redis.sha1hex(R50)"),
    ("sha1hex 140 B", "", "local h=redis.sha1hex(R140)"),
    (
        "sha1hex 140 B + concat + sub",
        "local h=R16",
        "h=sub(redis.sha1hex(h..i..R130),1,16)",
    ),
    (
        "arithmetic chain of 2 lanes",
        "local a,b=1,1",
        "a=(a*33554393+i)%67108859 b=(b*67108837+a+i)%134217689",
    ),
    (
        "struct.unpack 25 x i8",
        "local r=pack(I25,unpack(NUM))",
        "local a,b,c,d,e,f,g=sunpack(I25,r)",
    ),
    (
        "struct.pack 25 x i8",
        "local a,b,c,d,e,f,g,h,j,k,l,m=unpack(NUM)",
        "local r=pack(I25,a,b,c,d,i,f,g,h,j,k,l,m,a,b,c,d,e,f,g,h,j,k,l,m,a)",
    ),
    (
        "struct.pack 12 x i8",
        "local a,b,c,d,e,f,g,h,j,k,l,m=unpack(NUM)",
        "local r=pack(I12,a,b,c,d,i,f,g,h,j,k,l,m)",
    ),
    (
        "struct.unpack 25 x d",
        "local r=pack(D25,unpack(NUM))",
        "local a,b,c,d,e,f,g=sunpack(D25,r)",
    ),
    (
        "struct.pack 25 x d",
        "local a,b,c,d,e,f,g,h,j,k,l,m=unpack(NUM)",
        "local r=pack(D25,a,b,c,d,i,f,g,h,j,k,l,m,a,b,c,d,e,f,g,h,j,k,l,m,a)",
    ),
    (
        "struct.pack 12 x d",
        "local a,b,c,d,e,f,g,h,j,k,l,m=unpack(NUM)",
        "local r=pack(D12,a,b,c,d,i,f,g,h,j,k,l,m)",
    ),
    (
        "struct.pack 4 x d",
        "local a,b,c,d,e,f,g,h,j,k,l,m=unpack(NUM)",
        "local r=pack('<dddd',a,b,c,i)",
    ),
    (
        "struct.unpack 25 x i8 into fields",
        "local r=pack(I25,unpack(NUM))",
        "local t={} t.a,t.b,t.c,t.d,t.e,t.f,t.g,t.h,t.i,t.j,t.k,t.l,t.m,t.n,t.o,t.p,t.q,t.r,t.s,t.t,t.u,t.v,t.w,t.x,t.y=sunpack(I25,r)",
    ),
    (
        "struct.unpack 25 x i8 into a list",
        "local r=pack(I25,unpack(NUM))",
        "local t={sunpack(I25,r)}",
    ),
    (
        "cmsgpack.unpack list of 25",
        "local r=cmsgpack.pack(NUM)",
        "local t=cmsgpack.unpack(r)",
    ),
    ("cmsgpack.pack list of 25", "", "local r=cmsgpack.pack(NUM)"),
    (
        "format('%.0f') of 15 digits",
        "local n=123456789012345",
        "local s=format('%.0f',n+i)",
    ),
    (
        "format('%d') of 15 digits",
        "local n=123456789012345",
        "local s=format('%d',n+i)",
    ),
    (
        "tonumber of 15 digits",
        "local n='123456789012345'",
        "local s=tonumber(n)",
    ),
    (
        "find('^%d+$') of 15 digits",
        "local n='123456789012345'",
        "local s=find(n,'^%d+$')",
    ),
    ("concat of 2 strings (130 B, new)", "", "local s=R130..i"),
    (
        "sub of 130 B, new",
        "local s=R130..R130",
        "local s=sub(s,i%100,i%100+120)",
    ),
    (
        "closure with 4 upvalues",
        "",
        "local f=function() return call,format,sub,K end",
    ),
    (
        "function call, 3 arguments",
        "local f=function(a,b,c) return b end",
        "local x=f(i,i,i)",
    ),
    (
        "pcall of a function, 3 arguments",
        "local f=function(a,b,c) return b end",
        "local ok,x=pcall(f,i,i,i)",
    ),
    ("table of 4 fields", "", "local t={a=1,b=2,c=3,d=4}"),
];

const PRELUDE: &str = "local call,format,sub,find,pack,sunpack=redis.call,string.format,string.sub,string.find,struct.pack,struct.unpack
local x=string.rep
local R16,R20,R50,R60,R100,R130,R140,R200=x('q',16),x('q',20),x('q',50),x('q',60),x('q',100),x('q',130),x('q',140),x('q',200)
local I25,I12,D25,D12='<'..x('i8',25),'<'..x('i8',12),'<'..x('d',25),'<'..x('d',12)
local K={} for i=0,1000 do K[i]='fg:{17}:a:account-'..i end
local NUM={} for i=1,25 do NUM[i]=1234567*i end
local N='0192f0c1-0b1c-7a55-9d3f-'
";

/// Prints a table of microseconds per turn, the median of `rounds` interleaved rounds.
pub(crate) fn run(rounds: usize, fsync: &str) -> io::Result<()> {
    let server = Server::start(fsync)?;
    let mut client = server.client()?;
    let turns = 20_000_u32;
    let mut figures = vec![Figure::default(); PARTS.len()];
    for _ in 0..rounds {
        for ((_, before, part), figures) in PARTS.iter().zip(&mut figures) {
            let script = format!("{PRELUDE}{before}\nfor i=1,{turns} do {part} end");
            let start = server.cpu()?;
            if let Reply::Error(error) = client.call(&[b"EVAL".as_slice(), script.as_bytes(), b"0"])? {
                return Err(io::Error::other(format!("{part}: {error}")));
            }
            client.call(&[b"PING"])?;
            figures.push((server.cpu()? - start).as_secs_f64() * 1e6 / f64::from(turns));
        }
        client.call(&[b"FLUSHALL"])?;
    }
    let empty = figures.first().map_or(0.0, Figure::median);
    println!("| part of a script | CPU us of Redis, {fsync} |\n|---|---:|");
    for ((name, ..), figure) in PARTS.iter().zip(&figures) {
        println!("| {name} | {:.2} |", figure.median() - empty);
    }
    Ok(())
}
